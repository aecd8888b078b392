package gatewayplan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/routes"
)

// desiredRoutes routes every prefix of another datacenter to the nexthop group of
// that datacenter, whose members are the usable lanes. When a gateway fails,
// one group changes, however many prefixes use it.
func desiredRoutes(in plan.Inputs, topo topology, m *Memo) routes.Config {
	c := routes.Config{Table: in.Config.Routing.Table}
	ways := routeWays{decision: topo.decision, guarded: topo.guarded()}
	var devices []string
	for n := range topo.lanes() {
		devices = append(devices, plan.LaneDevice(in.Config, n))
	}
	for _, f := range topo.families() {
		c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: in.Config.Routing.RulePriority, Mark: in.Config.Routing.Mark})
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.BlackholeID(f), Family: f})
		for n, name := range devices {
			c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.LaneNexthopID(n, f), Family: f, Device: name})
		}
		siblings := newSiblingNexthops(topo, f)
		c.Nexthops = append(c.Nexthops, siblings.nexthops...)
		way := familyWays{source: topo.sourceAddress(in.Host, f)}
		for _, dc := range topo.others {
			group := routes.Group{ID: routes.GroupID(int(dc.Ordinal), f), Family: f}
			mtu := 0
			group.Members, mtu = narrowMembers(&c, in, dc, f, usableNexthops(in, topo, dc, f, siblings))
			if dc.Has(f) {
				c.Groups = append(c.Groups, group)
			}
			way.groups, way.mtus = append(way.groups, group.ID), append(way.mtus, mtu)
		}
		way.standby = addStandby(&c, topo, f, siblings)
		ways.set(f, way)
	}
	addOverlay(&c, in, topo)
	addNodeRoutes(&c, in, topo, devices)
	routing.AddLocal(&c, topo.keptLocal())
	c.Sysctls = in.Host.Sysctls(sysctls(in, topo, devices))
	slices.SortFunc(c.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Routes, routes.CompareRoutes)
	ways.more = c.Routes
	m.routes = m.routes.of(ways)
	c.Routes = m.routes.all
	return c
}

// keptLocal returns the ranges that stay local and are not routed.
func (topo topology) keptLocal() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(topo.decision.Local), func(p netip.Prefix) bool {
		_, routed := topo.decision.Owner(p)
		return routed
	})
}

// sysctls returns the kernel settings of a gateway with the given lanes.
//
// Paths are asymmetric: answers to packets that a sibling forwarded leave through
// a lane, and answers to packets that went through the tunnel to a node may come
// back over another device.
func sysctls(in plan.Inputs, topo topology, lanes []string) []routes.Sysctl {
	tunnels := slices.Concat(lanes, nodeDevices(in, topo))
	loose := slices.Concat(tunnels, in.Host.StrictOf(trustedIngressDevices(in, topo)))
	settings := routes.LooseSysctls(loose)
	if !in.Config.Witness {
		settings = append(routes.ForwardingSysctls(loose), routes.DeviceForwardingSysctls(tunnels)...)
	}
	if routesPeers(in, topo) {
		settings = append(settings, routes.SourceMarkSysctls(in.Host.Underlay)...)
	}
	return settings
}

// routesPeers reports whether the IPv4 address of a peer on the underlay is in a
// prefix of another datacenter, or a guarded one. IPv6 has no reverse-path filter.
func routesPeers(in plan.Inputs, topo topology) bool {
	guarded := topo.guarded()
	covered := func(e netip.AddrPort) bool {
		a := e.Addr().Unmap()
		return a.Is4() && prefixset.CoveredBy(guarded, prefixset.Host(a))
	}
	return slices.ContainsFunc(topo.peers(), func(p *peer) bool {
		return covered(p.tunnel.Endpoint) || slices.ContainsFunc(p.candidates, covered)
	})
}

// addStandby routes the prefixes of the other datacenters to the siblings for the
// time that the prefixes have no other route: the kernel deletes the routes to the
// lanes when the processes of a userspace data plane are killed. Until the agent
// has repaired that, even if it was killed too, pods of this host use the siblings.
//
// The own datacenter has no group, so its ordinal is free for that of the siblings,
// which is returned; 0 if there is none.
func addStandby(c *routes.Config, topo topology, f routes.Family, siblings siblingNexthops) uint32 {
	group := routes.Group{ID: routes.GroupID(int(topo.own.Ordinal), f), Family: f, Members: siblings.preferred()}
	if group.ID == 0 || len(group.Members) == 0 {
		return 0
	}
	if slices.ContainsFunc(topo.others, func(dc remoteDatacenter) bool { return dc.Has(f) }) {
		c.Groups = append(c.Groups, group)
	}
	return group.ID
}

// addOverlay routes the overlay address of each gateway through its own lane,
// whether the gateway is up or not. Liveness packets, which decide that, use
// these routes, and so does the catalog, which addresses individual gateways.
func addOverlay(c *routes.Config, in plan.Inputs, topo topology) {
	for _, p := range topo.peers() {
		routing.AddHostRoute(c, int(p.Index), plan.LaneDevice(in.Config, p.Index), p.Overlay, topo.self.Overlay)
	}
}
