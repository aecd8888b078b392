package status

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// overlayKind is the kind of routes to overlay addresses.
const overlayKind = "overlay"

// routeIndex finds what explains a route, so that each route costs the same however
// many there are.
type routeIndex struct {
	RouteSources

	owners   map[netip.Prefix]owned
	gateways map[catalog.DatacenterName][]catalog.Gateway // by index
	overlay  map[netip.Addr]catalog.Gateway
	siblings map[uint32]catalog.GatewayID // by the nexthops to them
	groups   map[uint32][]uint32          // members, in the kernel or else desired
	nexthops map[uint32]routes.Nexthop    // in the kernel or else desired
	up       map[catalog.GatewayID]bool
}

// owned is the datacenter of a prefix, and the kind of the prefix.
type owned struct {
	datacenter catalog.DatacenterName
	kind       string
}

func newRouteIndex(s RouteSources) routeIndex {
	x := routeIndex{
		RouteSources: s,
		owners:       map[netip.Prefix]owned{}, gateways: map[catalog.DatacenterName][]catalog.Gateway{}, overlay: map[netip.Addr]catalog.Gateway{},
		siblings: map[uint32]catalog.GatewayID{}, groups: map[uint32][]uint32{}, nexthops: map[uint32]routes.Nexthop{}, up: map[catalog.GatewayID]bool{},
	}
	for _, dc := range s.Inputs.Catalog.Datacenters {
		for _, p := range dc.Prefixes {
			setFirst(x.owners, p.CIDR, owned{dc.Name, string(p.Kind)})
		}
	}
	for _, g := range s.Inputs.Catalog.Gateways {
		setFirst(x.overlay, g.Overlay, g)
		x.gateways[g.Datacenter] = append(x.gateways[g.Datacenter], g)
		if g.Datacenter == s.Inputs.Self.Datacenter() {
			x.addSibling(g)
		}
	}
	for _, list := range x.gateways {
		slices.SortStableFunc(list, func(a, b catalog.Gateway) int { return cmp.Compare(a.Index, b.Index) })
	}
	for _, c := range []routes.Config{s.Observed.Config, s.Desired.Routes} {
		for _, g := range c.Groups {
			setFirst(x.groups, g.ID, g.Members)
		}
		for _, n := range c.Nexthops {
			setFirst(x.nexthops, n.ID, n)
		}
	}
	for _, session := range s.Inputs.Observed.Sessions {
		x.up[session.Gateway] = x.up[session.Gateway] || session.Up
	}
	return x
}

// setFirst keeps the first value of a key.
func setFirst[K comparable, V any](m map[K]V, key K, value V) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

// addSibling adds a gateway of the own datacenter by the nexthops to it. On a node all
// nexthops are to such gateways.
func (x *routeIndex) addSibling(g catalog.Gateway) {
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		if x.Node {
			setFirst(x.siblings, routes.LaneNexthopID(int(g.Index), f), g.ID())
			setFirst(x.siblings, routes.HostNexthopID(int(g.Index), f), g.ID())
		} else {
			setFirst(x.siblings, routes.SiblingNexthopID(int(g.Index), f), g.ID())
		}
	}
}

// routeKey is what distinguishes the routes of Meshway that carry traffic.
type routeKey struct {
	prefix netip.Prefix
	toNode bool
}

func keyOf(r routes.Route) routeKey { return routeKey{r.Prefix, r.ToNode} }

// routes returns the desired routes, the existing ones, and those of other programs.
func (x routeIndex) routes() []Route {
	observed := make(map[routeKey]routes.Route, len(x.Observed.Routes))
	for _, have := range x.Observed.Routes {
		setFirst(observed, keyOf(have), have)
	}
	desired := make(map[routeKey]bool, len(x.Desired.Routes.Routes))
	out := make([]Route, 0, len(x.Desired.Routes.Routes)+len(x.Observed.Foreign))
	for _, want := range x.Desired.Routes.Routes {
		desired[keyOf(want)] = true
		have, ok := observed[keyOf(want)]
		switch {
		case !ok:
			out = append(out, x.route(want, missing))
		case have != want:
			out = append(out, x.route(have, stale))
		default:
			out = append(out, x.route(want, installed))
		}
	}
	for _, have := range x.Observed.Routes {
		if !desired[keyOf(have)] {
			out = append(out, x.route(have, stale))
		}
	}
	for _, f := range x.Observed.Foreign {
		r := Route{Prefix: f.Prefix, Protocol: f.Protocol, Via: []Via{}, State: foreign}
		if f.Device != "" {
			r.Via = append(r.Via, Via{Device: f.Device, Up: true})
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Route) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.State, b.State), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Nexthop, b.Nexthop))
	})
	return out
}

// route explains a route of Meshway.
func (x routeIndex) route(r routes.Route, state string) Route {
	owner := x.owner(r.Prefix)
	out := Route{
		Prefix:     r.Prefix,
		Kind:       owner.kind,
		Datacenter: string(owner.datacenter),
		Protocol:   routes.DefaultProtocol,
		Nexthop:    r.Nexthop,
		Via:        []Via{},
		State:      state,
		Source:     address(r.Source),
	}
	nexthops := x.nexthopsOf(r.Nexthop)
	if state == installed && len(nexthops) == 0 {
		out.State = blackhole
		return out
	}
	for _, g := range x.gatewaysFor(r.Prefix, owner) {
		device := plan.LaneDevice(x.Inputs.Config, g.Index)
		used := slices.ContainsFunc(nexthops, func(n routes.Nexthop) bool { return n.Device == device })
		out.Via = append(out.Via, Via{Gateway: string(g.ID()), Device: device, Up: used && x.up[g.ID()]})
		nexthops = slices.DeleteFunc(nexthops, func(n routes.Nexthop) bool { return n.Device == device })
	}
	for _, n := range nexthops { // to a sibling, or to a gateway that is no longer in the catalog
		sibling := x.siblings[n.ID]
		out.Via = append(out.Via, Via{Gateway: string(sibling), Device: n.Device, Up: sibling != ""})
	}
	return out
}

// gatewaysFor returns the gateways through which a prefix may be reached, by index.
func (x routeIndex) gatewaysFor(p netip.Prefix, owner owned) []catalog.Gateway {
	all := x.gateways[owner.datacenter]
	if owner.kind != overlayKind {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(g catalog.Gateway) bool { return g.Overlay != p.Addr() })
}

// nexthopsOf returns the nexthops of a group, or the nexthop itself. Blackholes are
// left out.
func (x routeIndex) nexthopsOf(id uint32) []routes.Nexthop {
	members, ok := x.groups[id]
	if !ok {
		members = []uint32{id}
	}
	var out []routes.Nexthop
	for _, m := range members {
		if n, ok := x.nexthops[m]; ok && n.Device != "" {
			out = append(out, n)
		}
	}
	return out
}

// owner returns the datacenter that owns a routed prefix, and the kind of the prefix.
func (x routeIndex) owner(p netip.Prefix) owned {
	if g, ok := x.overlay[p.Addr()]; ok && p.IsSingleIP() {
		return owned{g.Datacenter, overlayKind}
	}
	if x.Node && p == x.Inputs.Catalog.Federation.Overlay {
		return owned{"", overlayKind}
	}
	return x.owners[p]
}
