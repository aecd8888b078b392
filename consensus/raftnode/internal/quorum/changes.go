package quorum

import (
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// payment is a kind of requests, and the datacenter that pays for one of them.
type payment struct {
	kind budget.Kind
	by   catalog.DatacenterName
}

// memberChange returns what pays for a change of the members; nothing if a command changes
// none. Each datacenter pays for its gateways, also while it counts as its sponsor: that one
// could otherwise keep it from enrolling any. The sponsor pays for admissions, but the founder
// admits as many as it likes while it sets up the federation. One that leaves needs no budget.
func memberChange(cmd *catalogpb.Command, sponsors sponsor.Sponsors, at time.Time) []payment {
	if !changesMembers(cmd) {
		return nil
	}
	author := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	payments := []payment{{budget.Members, author}}
	if cmd.GetJoin() != nil && !sponsors.SetsUp(author, at) {
		payments = append(payments, payment{budget.Admissions, sponsors.Of(author)})
	}
	return payments
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
			for _, p := range memberChange(cmd, view().Sponsors(at), at) {
				r.countApplied(p, at)
			}
		}
	}
}
