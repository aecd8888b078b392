package status

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
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

// RouteSources is everything that BuildRoutes needs for a report.
type RouteSources struct {
	Inputs   plan.Inputs
	Desired  plan.Desired
	Observed routes.Observed // current state of the kernel
	Lookup   *Lookup         // nil unless the report is for one address
	// Node is set for a host that is no gateway. Inputs.Catalog then has only the
	// gateways of its datacenter, and all nexthops are to them.
	Node bool
	// Left is what a host guards whose datacenter has left a federation, as far as
	// Desired.Firewall drops packets to it.
	Left plan.Left
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
		Rules: s.rules(), Routes: newRouteIndex(s).routes(),
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
