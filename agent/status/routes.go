package status

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// The states of routes and rules.
const (
	installed = "installed" // exists as desired
	missing   = "missing"   // desired, but does not exist
	foreign   = "foreign"   // in our table, but not created by Meshway
	stale     = "stale"     // created by Meshway, but no longer desired in this form
	blackhole = "blackhole" // exists as desired, and drops packets because no gateway answers
)

// overlayKind is the kind of routes to overlay addresses.
const overlayKind = "overlay"

// RouteSources is everything that BuildRoutes needs for a report.
type RouteSources struct {
	Inputs   plan.Inputs
	Desired  plan.Desired
	Observed routes.Observed // current state of the kernel
	Lookup   *Lookup         // nil unless the report is for one address
	// Node is set for a host that is no gateway. Inputs.Catalog then has only the
	// gateways of its datacenter, and all nexthops are to them.
	Node bool
}

// Lookup is the kernel's answer (RTM_GETROUTE) for one address.
type Lookup struct {
	Address   netip.Addr
	Table     int          // 0: not known
	Prefix    netip.Prefix // zero: not known
	Device    string       // empty: blackhole
	Source    netip.Addr
	Blackhole bool   // the packet would be dropped
	Error     string // the kernel's error: "no route to host"; empty: there is a route
}

// BuildRoutes explains the kernel's routes. It is pure, and all lists are sorted.
func BuildRoutes(s RouteSources) RoutesReport {
	s.Desired.Routes.Routes = carrying(s.Desired.Routes.Routes)
	s.Observed.Routes = carrying(s.Observed.Routes)
	report := RoutesReport{
		Datacenter: string(s.Inputs.Self.Datacenter()), Table: s.Inputs.Config.Routing.Table,
		Rules: s.rules(), Routes: s.routes(),
	}
	if s.Lookup != nil {
		report.Destination = s.destination(report)
	}
	return report
}

// carrying returns the routes that carry traffic unless something has failed.
func carrying(list []routes.Route) []routes.Route {
	return slices.DeleteFunc(slices.Clone(list), func(r routes.Route) bool { return r.Kind.Metric() != 0 })
}

func countCarrying(list []routes.Route) int {
	n := 0
	for _, r := range list {
		if r.Kind.Metric() == 0 {
			n++
		}
	}
	return n
}

// rules returns the desired rules and the existing ones.
func (s RouteSources) rules() []Rule {
	out := []Rule{}
	add := func(r routes.Rule, state string) {
		out = append(out, Rule{Family: int(r.Family), Priority: r.Priority, Selector: r.Selector(), State: state})
	}
	for _, r := range s.Desired.Routes.Rules {
		if slices.Contains(s.Observed.Rules, r) {
			add(r, installed)
		} else {
			add(r, missing)
		}
	}
	for _, r := range s.Observed.Rules {
		if !slices.Contains(s.Desired.Routes.Rules, r) {
			add(r, stale)
		}
	}
	slices.SortFunc(out, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Selector, b.Selector), cmp.Compare(a.State, b.State))
	})
	return out
}

// routes returns the desired routes, the existing ones, and those of other programs.
func (s RouteSources) routes() []Route {
	out := []Route{}
	for _, want := range s.Desired.Routes.Routes {
		i := slices.IndexFunc(s.Observed.Routes, func(r routes.Route) bool { return r.Prefix == want.Prefix && r.ToNode == want.ToNode })
		switch {
		case i < 0:
			out = append(out, s.route(want, missing))
		case s.Observed.Routes[i] != want:
			out = append(out, s.route(s.Observed.Routes[i], stale))
		default:
			out = append(out, s.route(want, installed))
		}
	}
	for _, have := range s.Observed.Routes {
		if !slices.ContainsFunc(s.Desired.Routes.Routes, func(r routes.Route) bool { return r.Prefix == have.Prefix && r.ToNode == have.ToNode }) {
			out = append(out, s.route(have, stale))
		}
	}
	for _, f := range s.Observed.Foreign {
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
func (s RouteSources) route(r routes.Route, state string) Route {
	owner, kind := s.owner(r.Prefix)
	out := Route{
		Prefix:     r.Prefix,
		Kind:       kind,
		Datacenter: string(owner),
		Protocol:   routes.DefaultProtocol,
		Nexthop:    r.Nexthop,
		Via:        []Via{},
		State:      state,
		Source:     address(r.Source),
	}
	nexthops := s.nexthops(r.Nexthop)
	if state == installed && len(nexthops) == 0 {
		out.State = blackhole
		return out
	}
	for _, g := range s.gatewaysFor(r.Prefix, owner, kind) {
		device := plan.LaneDevice(s.Inputs.Config, g.Index)
		used := slices.ContainsFunc(nexthops, func(n routes.Nexthop) bool { return n.Device == device })
		out.Via = append(out.Via, Via{Gateway: string(g.ID()), Device: device, Up: used && s.up(g.ID())})
		nexthops = slices.DeleteFunc(nexthops, func(n routes.Nexthop) bool { return n.Device == device })
	}
	for _, n := range nexthops { // to a sibling, or to a gateway that is no longer in the catalog
		sibling := s.sibling(n)
		out.Via = append(out.Via, Via{Gateway: sibling, Device: n.Device, Up: sibling != ""})
	}
	return out
}

// sibling returns the id of the gateway of the own datacenter that a nexthop is
// to, or the empty string. On a node all nexthops are to such gateways.
func (s RouteSources) sibling(nexthop routes.Nexthop) string {
	own := s.Inputs.Self.Datacenter()
	for _, g := range s.Inputs.Catalog.Gateways {
		ids := []uint32{routes.SiblingNexthopID(int(g.Index), nexthop.Family)}
		if s.Node {
			ids = []uint32{routes.LaneNexthopID(int(g.Index), nexthop.Family), routes.HostNexthopID(int(g.Index), nexthop.Family)}
		}
		if g.Datacenter == own && slices.Contains(ids, nexthop.ID) {
			return string(g.ID())
		}
	}
	return ""
}

// gatewaysFor returns the gateways through which a prefix may be reached, by index.
func (s RouteSources) gatewaysFor(p netip.Prefix, owner catalog.DatacenterName, kind string) []catalog.Gateway {
	var out []catalog.Gateway
	for _, g := range s.Inputs.Catalog.Gateways {
		if g.Datacenter == owner && (kind != overlayKind || g.Overlay == p.Addr()) {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b catalog.Gateway) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// nexthops returns the nexthops of a group, or the nexthop itself, as they are
// in the kernel, or as desired if they do not exist. Blackholes are left out.
func (s RouteSources) nexthops(id uint32) []routes.Nexthop {
	members := []uint32{id}
	for _, groups := range [][]routes.Group{s.Observed.Groups, s.Desired.Routes.Groups} {
		if i := slices.IndexFunc(groups, func(g routes.Group) bool { return g.ID == id }); i >= 0 {
			members = groups[i].Members
			break
		}
	}
	var out []routes.Nexthop
	for _, m := range members {
		for _, nexthops := range [][]routes.Nexthop{s.Observed.Nexthops, s.Desired.Routes.Nexthops} {
			i := slices.IndexFunc(nexthops, func(n routes.Nexthop) bool { return n.ID == m })
			if i < 0 {
				continue
			}
			if nexthops[i].Device != "" {
				out = append(out, nexthops[i])
			}
			break
		}
	}
	return out
}

func (s RouteSources) up(id catalog.GatewayID) bool {
	return slices.ContainsFunc(s.Inputs.Observed.Sessions, func(session plan.Session) bool { return session.Gateway == id && session.Up })
}

// owner returns the datacenter that owns a routed prefix, and the kind of the prefix.
func (s RouteSources) owner(p netip.Prefix) (catalog.DatacenterName, string) {
	for _, g := range s.Inputs.Catalog.Gateways {
		if p.IsSingleIP() && g.Overlay == p.Addr() {
			return g.Datacenter, overlayKind
		}
	}
	if s.Node && p == s.Inputs.Catalog.Federation.Overlay {
		return "", overlayKind
	}
	for _, dc := range s.Inputs.Catalog.Datacenters {
		for _, own := range dc.Prefixes {
			if own.CIDR == p {
				return dc.Name, string(own.Kind)
			}
		}
	}
	return "", ""
}
