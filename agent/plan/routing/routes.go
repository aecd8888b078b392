// Package routing has what the routes and firewalls of gateways and nodes have in
// common. It is pure.
package routing

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// WithGuards adds to sorted routes one that needs no device for each remote prefix,
// because the kernel deletes the others with the devices of the lanes. Packets would
// follow the default route then.
func WithGuards(sorted []routes.Route, remote []netip.Prefix) []routes.Route {
	out := make([]routes.Route, 0, len(sorted)+len(remote))
	for _, p := range remote {
		guard := routes.Route{Prefix: p, Kind: routes.Guard}
		n := 0
		for n < len(sorted) && routes.CompareRoutes(sorted[n], guard) <= 0 {
			n++
		}
		out, sorted = append(append(out, sorted[:n]...), guard), sorted[n:]
	}
	return append(out, sorted...)
}

// AddDatacenter adds the group and the routes of one datacenter in one family. An
// mtu of 0 is that of the device.
func AddDatacenter(c *routes.Config, dc acceptance.Remote, f routes.Family, source netip.Addr, members []uint32, mtu int) {
	group := routes.Group{ID: routes.GroupID(int(dc.Ordinal), f), Family: f, Members: members}
	used := false
	for _, p := range dc.Prefixes {
		if routes.FamilyOf(p.Addr()) == f {
			used = true
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Nexthop: group.ID, Source: source, MTU: mtu})
		}
	}
	if used {
		c.Groups = append(c.Groups, group)
	}
}

// AddLocal leaves ranges to the rules after Meshway's. Addresses in the overlay
// that have a route keep it.
func AddLocal(c *routes.Config, local []netip.Prefix) {
	if len(local) == 0 {
		return
	}
	routed := make(map[netip.Prefix]bool, len(c.Routes))
	for _, r := range c.Routes {
		routed[r.Prefix] = routed[r.Prefix] || !r.ToNode
	}
	for _, p := range local {
		ruled := slices.ContainsFunc(c.Rules, func(r routes.Rule) bool { return r.Family == routes.FamilyOf(p.Addr()) })
		if ruled && !routed[p] {
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Kind: routes.Throw})
		}
	}
}

// AddHostRoute routes the address of a host at the other end of a lane through
// it, with the local address in the lane as source. It has a nexthop of its
// own, separate from that of the groups: see routes.HostNexthopID.
func AddHostRoute(c *routes.Config, lane int, device string, remote, local netip.Addr) {
	f := routes.FamilyOf(remote)
	nexthop := routes.Nexthop{ID: routes.HostNexthopID(lane, f), Family: f, Device: device}
	if !slices.Contains(c.Nexthops, nexthop) {
		c.Nexthops = append(c.Nexthops, nexthop)
	}
	c.Routes = append(c.Routes, routes.Route{Prefix: prefixset.Host(remote), Nexthop: nexthop.ID, Source: local})
}

// WithoutIPv6 removes what a host without IPv6 cannot have.
func WithoutIPv6(tunnels []tunnel.Config, c *routes.Config, sessions []plan.SessionConfig) []plan.SessionConfig {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	for i := range tunnels {
		tunnels[i].Addresses = slices.DeleteFunc(tunnels[i].Addresses, is6)
	}
	c.Rules = slices.DeleteFunc(c.Rules, func(r routes.Rule) bool { return r.Family == routes.IPv6 })
	c.Nexthops = slices.DeleteFunc(c.Nexthops, func(n routes.Nexthop) bool { return n.Family == routes.IPv6 })
	c.Groups = slices.DeleteFunc(c.Groups, func(g routes.Group) bool { return g.Family == routes.IPv6 })
	// The next plan may share the list.
	c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r routes.Route) bool { return is6(r.Prefix) })
	return slices.DeleteFunc(sessions, func(s plan.SessionConfig) bool { return s.Local.Is6() })
}

// IPv6InLanes removes the IPv6 routes that do not lead through an IPv6 address of a lane:
// the kernel creates no nexthop on devices for which IPv6 is switched off, and no blackhole
// nexthop, which groups need, if the loopback device is one of them.
func IPv6InLanes(tunnels []tunnel.Config, c *routes.Config) {
	lanes := make(map[string]bool)
	for _, t := range tunnels {
		lanes[t.Name] = slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	removed := make(map[uint32]bool)
	c.Groups = slices.DeleteFunc(c.Groups, func(g routes.Group) bool {
		removed[g.ID] = g.Family == routes.IPv6
		return removed[g.ID]
	})
	c.Nexthops = slices.DeleteFunc(c.Nexthops, func(n routes.Nexthop) bool {
		removed[n.ID] = n.Family == routes.IPv6 && !lanes[n.Device]
		return removed[n.ID]
	})
	// The next plan may share the list.
	c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r routes.Route) bool { return removed[r.Nexthop] })
}

// Families returns the address families, in the order of their routes.
func Families() []routes.Family { return []routes.Family{routes.IPv4, routes.IPv6} }
