package quorum

import (
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// memberChange returns the datacenter that pays for a change of the members, the sponsor of
// the author's, and the kinds of requests that it is; none if it changes no members. One that
// leaves needs no budget. The founder admits as many as it likes while it sets up the
// federation.
func memberChange(cmd *catalogpb.Command, sponsors sponsor.Sponsors, at time.Time) (by catalog.DatacenterName, kinds []budget.Kind) {
	author := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	switch {
	case cmd.GetJoin() != nil && !sponsors.SetsUp(author, at):
		kinds = []budget.Kind{budget.Members, budget.Admissions}
	case cmd.GetJoin() != nil || cmd.GetAddGateway() != nil || cmd.GetRemoveGateway() != nil:
		kinds = []budget.Kind{budget.Members}
	}
	return sponsors.Of(author), kinds
}

func changesMembers(cmd *catalogpb.Command) bool {
	return cmd.GetJoin() != nil || cmd.GetAddGateway() != nil || cmd.GetRemoveGateway() != nil
}

// CountApplied returns a function that counts the changes of members in an entry that was
// applied, by the times of their commands: the next leader does not count from zero. view
// returns the catalog.
func (r *Requests) CountApplied(view func() Catalog) func([]*catalogpb.Command, []catalog.Result) {
	return func(cmds []*catalogpb.Command, results []catalog.Result) {
		for i, cmd := range cmds {
			if !changesMembers(cmd) || results[i].Refusal != nil {
				continue
			}
			at := cmd.GetAt().AsTime()
			by, kinds := memberChange(cmd, view().Sponsors(at), at)
			for _, kind := range kinds {
				r.countApplied(kind, by, at)
			}
		}
	}
}
