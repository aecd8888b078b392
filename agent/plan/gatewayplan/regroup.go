package gatewayplan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/routes"
)

// Regroup returns the groups of a configuration that Compute returned, with the
// members that follow from the inputs: the same ones with newer sessions and a later
// time. It looks at gateways only, not at prefixes. A group whose new members are not
// all nexthops of the configuration stays as it is until the next plan.
func Regroup(in plan.Inputs, c routes.Config) []routes.Group {
	var ignored plan.Problems // the plan has them
	topo, gateways, others, ok := identify(in, &ignored)
	if !ok {
		return c.Groups
	}
	for _, dc := range others {
		topo.others = append(topo.others, remoteDatacenter{Remote: acceptance.Remote{Name: dc.Name, Ordinal: dc.Ordinal}})
	}
	addGateways(in, &topo, gateways, &ignored)
	groups := slices.Clone(c.Groups)
	for _, f := range routing.Families() {
		siblings := newSiblingNexthops(topo, f)
		for _, dc := range topo.others {
			members, _ := narrowMembers(&routes.Config{}, in, dc, f, groupMembers(in, topo, dc, f, siblings))
			i, used := slices.BinarySearchFunc(groups, routes.GroupID(int(dc.Ordinal), f), func(g routes.Group, id uint32) int { return cmp.Compare(g.ID, id) })
			if used && c.HasNexthops(members) {
				groups[i].Members = members
			}
		}
	}
	return groups
}
