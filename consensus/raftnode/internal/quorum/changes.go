package quorum

import (
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
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
// none. The founder admits as many as it likes while it sets up the federation. One that
// leaves needs no budget.
func memberChange(cmd *catalogpb.Command, sponsors sponsor.Sponsors, at time.Time) []payment {
	if !changesMembers(cmd) {
		return nil
	}
	author := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	payments := []payment{{budget.Members, author}}
	if cmd.GetJoin() != nil && !sponsors.SetsUp(author, at) {
		payments = append(payments, payment{budget.Admissions, author})
	}
	return payments
}

// refuseSponsored refuses an invitation by a datacenter that counts as another one.
// One whose sponsor has left may invite, so that a lost datacenter is replaced.
func refuseSponsored(cmd *catalogpb.Command, view Catalog, sponsors sponsor.Sponsors) *catalog.Refusal {
	by := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	present := slices.ContainsFunc(view.Datacenters(), func(dc catalog.Datacenter) bool { return dc.Name == sponsors.Of(by) })
	if cmd.GetJoin() == nil && cmd.GetCreateToken() == nil || !sponsors.Sponsored(by) || !present {
		return nil
	}
	return &catalog.Refusal{
		Code: consensus.CodeSponsored, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s was invited by datacenter %s less than a week ago, and cannot invite others until %s",
			by, sponsors.Of(by), sponsors.Until(by).UTC().Format(time.RFC3339)),
		Remedy: "create the token in a datacenter that has been a member for longer: meshctl token create",
	}
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
