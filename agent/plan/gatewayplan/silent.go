package gatewayplan

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/routes"
)

// How long a datacenter whose gateways are all down keeps those from which a
// packet was received recently. A busy host must not be treated like a failed
// one. If a sibling can take over the time is shorter.
const (
	lastPacketGrace             = 10 * time.Second
	lastPacketGraceWithSiblings = 2 * time.Second
)

// usableNexthops decides what happens when the tunnel to a gateway falls silent: the
// gateway is down for liveness, and its lane leaves the group of its datacenter. It
// returns the members of that group, which are the first that exist of:
//
//   - the usable gateways
//   - the drained ones
//   - those from which a packet was received within the grace period
//   - the siblings, which may still reach the datacenter
//   - the blackhole: without a route packets would follow the default route
//     and leave this host unencrypted
//
// A drained gateway uses its active siblings first, as soon as the catalog has
// its drain. When two drain at a time, the catalog has recorded the earlier
// drain by then, so that they do not send to each other.
func usableNexthops(in plan.Inputs, topo topology, dc remoteDatacenter, f routes.Family, siblings siblingNexthops) []uint32 {
	if in.Drain == plan.Drained && topo.self.Draining && len(siblings.active) > 0 {
		return siblings.active
	}
	grace := lastPacketGrace
	if len(siblings.nexthops) > 0 {
		grace = lastPacketGraceWithSiblings
	}
	for _, match := range []func(peer) bool{
		func(p peer) bool { return p.usable(in.Now) },
		func(p peer) bool { return p.state == drained },
		func(p peer) bool {
			return !p.session.LastPacket.IsZero() && in.Now.Sub(p.session.LastPacket) < grace
		},
	} {
		if out := laneNexthops(dc, f, match); len(out) > 0 {
			return out
		}
	}
	if len(siblings.nexthops) > 0 {
		return siblings.preferred()
	}
	return []uint32{routes.BlackholeID(f)}
}

// laneNexthops returns the nexthop ids of the gateways that match, sorted.
func laneNexthops(dc remoteDatacenter, f routes.Family, match func(peer) bool) []uint32 {
	var out []uint32
	for _, p := range dc.gateways {
		if match(p) {
			out = append(out, routes.LaneNexthopID(int(p.Index), f))
		}
	}
	slices.Sort(out)
	return out
}

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
			members, _ := narrowMembers(&routes.Config{}, in, dc, f, usableNexthops(in, topo, dc, f, siblings))
			i, used := slices.BinarySearchFunc(groups, routes.GroupID(int(dc.Ordinal), f), func(g routes.Group, id uint32) int { return cmp.Compare(g.ID, id) })
			if used && c.HasNexthops(members) {
				groups[i].Members = members
			}
		}
	}
	return groups
}
