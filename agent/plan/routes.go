package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/routes"
)

// routing leads every prefix of another datacenter to the group of its
// datacenter, whose members are the lanes that work. Losing a gateway changes
// one group, however many prefixes it carried.
func routing(in Inputs, topo topology) routes.Config {
	c := routes.Config{Table: in.Config.Routing.Table}
	var devices []string
	for n := range topo.lanes() {
		devices = append(devices, device(in, n))
	}
	for _, f := range topo.families() {
		c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: in.Config.Routing.RulePriority, Mark: in.Config.Routing.Mark})
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.BlackholeID(f), Family: f})
		for n, name := range devices {
			c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.LaneNexthopID(n, f), Family: f, Device: name})
		}
		siblings := newSiblingNexthops(in, topo, f)
		c.Nexthops = append(c.Nexthops, siblings.nexthops...)
		from := sourceAddress(in, topo, f)
		for _, dc := range topo.others {
			addDatacenter(&c, dc, f, from, groupMembers(in, topo, dc, f, siblings))
		}
	}
	addOverlay(&c, in, topo)
	addNodeRoutes(&c, in, topo, devices)
	// What a sibling hands over is answered by a lane, and what a node is sent
	// through its tunnel it would answer otherwise.
	c.Sysctls = routes.ForwardingSysctls(slices.Concat(devices, nodeDevices(in, topo), trustedIngressDevices(in, topo)))
	slices.SortFunc(c.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Routes, compareRoutes)
	return c
}

// compareRoutes orders as routes.Config documents.
func compareRoutes(a, b routes.Route) int {
	if a.ToNode != b.ToNode {
		if b.ToNode {
			return -1
		}
		return 1
	}
	return a.Prefix.Compare(b.Prefix)
}

// addDatacenter adds the group and the routes of one datacenter in one family.
func addDatacenter(c *routes.Config, dc remoteDatacenter, f routes.Family, from netip.Addr, members []uint32) {
	group := routes.Group{ID: routes.GroupID(int(dc.ordinal), f), Family: f, Members: members}
	used := false
	for _, p := range dc.prefixes {
		if routes.FamilyOf(p.Addr()) == f {
			used = true
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Nexthop: group.ID, Source: from})
		}
	}
	if used {
		c.Groups = append(c.Groups, group)
	}
}

// silenceGrace is how long a datacenter whose gateways have all gone silent
// keeps the last ones: there is nothing better to send its packets to, and a
// host that is busy must not look like one that is gone.
const silenceGrace = 10 * time.Second

// silenceGraceWithSiblings is the same where another gateway of this datacenter can take
// over: it may know a way, or be as much at a loss.
const silenceGraceWithSiblings = 2 * time.Second

// groupMembers are the members of a datacenter's group: the gateways that answer; else
// those that ask not to be sent to, but could be; else those that were heard a
// moment ago; else the other gateways of this datacenter, which may still reach
// it. A drained gateway uses those first, once the catalog says that it is: of
// two that are drained at a time the later one knows of the earlier one then,
// and they do not send to each other. When there are none the routes stay and lead to the blackhole: without
// them the packets would follow the default route and leave this host in plain text.
func groupMembers(in Inputs, topo topology, dc remoteDatacenter, f routes.Family, siblings siblingNexthops) []uint32 {
	if in.Drain == Drained && topo.self.Draining && len(siblings.active) > 0 {
		return siblings.active
	}
	grace := silenceGrace
	if len(siblings.nexthops) > 0 {
		grace = silenceGraceWithSiblings
	}
	for _, take := range []func(peer) bool{
		func(p peer) bool { return p.usable(in.Now) },
		func(p peer) bool { return p.state == drained },
		func(p peer) bool {
			return !p.session.LastPacket.IsZero() && in.Now.Sub(p.session.LastPacket) < grace
		},
	} {
		if out := laneNexthops(dc, f, take); len(out) > 0 {
			return out
		}
	}
	if len(siblings.nexthops) > 0 {
		return siblings.preferred()
	}
	return []uint32{routes.BlackholeID(f)}
}

func nexthopIDs(nexthops []routes.Nexthop) []uint32 {
	var ids []uint32
	for _, n := range nexthops {
		ids = append(ids, n.ID)
	}
	slices.Sort(ids)
	return ids
}

func laneNexthops(dc remoteDatacenter, f routes.Family, take func(peer) bool) []uint32 {
	var out []uint32
	for _, p := range dc.gateways {
		if take(p) {
			out = append(out, routes.LaneNexthopID(int(p.Index), f))
		}
	}
	slices.Sort(out)
	return out
}

// addOverlay leads to each gateway by its own lane, whether it answers or
// not: the liveness packets that decide take this way themselves, and so does
// the catalog, for which one gateway is not as good as another.
func addOverlay(c *routes.Config, in Inputs, topo topology) {
	for _, p := range topo.peers() {
		addHostRoute(c, int(p.Index), device(in, p.Index), p.Overlay, topo.self.Overlay)
	}
}

// addHostRoute leads to a host at the other end of a lane, from the own address in
// it. The lane's leg is not for that: see routes.HostNexthopID.
func addHostRoute(c *routes.Config, lane int, device string, to, from netip.Addr) {
	f := routes.FamilyOf(to)
	end := routes.Nexthop{ID: routes.HostNexthopID(lane, f), Family: f, Device: device}
	if !slices.Contains(c.Nexthops, end) {
		c.Nexthops = append(c.Nexthops, end)
	}
	c.Routes = append(c.Routes, routes.Route{Prefix: hostPrefix(to), Nexthop: end.ID, Source: from})
}
