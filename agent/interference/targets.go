package interference

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// remote is a range of another datacenter that Meshway routes, or the address of one of its
// gateways in the overlay.
type remote struct {
	dc     catalog.DatacenterName
	prefix netip.Prefix
	source netip.Addr // of this host in the overlay; zero: the range is not of the overlay
	number int        // of the datacenter
}

// target is an address in such a range.
type target struct {
	dc      catalog.DatacenterName
	address netip.Addr
	source  netip.Addr // as in remote
}

// The bounds of what is searched for each rule of another program.
const (
	maxContents    = 32   // different selections of tables
	maxTableRoutes = 1024 // of a table
	maxTargets     = 16   // of a rule
	maxSameTargets = 2    // of a rule, in one datacenter
)

// scope is the Paths with what follows from them, for one pass.
type scope struct {
	Paths
	pods     pods
	remotes  []remote
	contents map[content][]target
}

// content is a selection of the routes of a table.
type content struct {
	family          routes.Family
	to              netip.Prefix
	table, shortest int
}

func (p Paths) scope() scope {
	s := scope{Paths: p, pods: p.pods(), contents: map[content][]target{}}
	numbers := make(map[catalog.DatacenterName]int, len(p.Datacenters))
	for i, dc := range p.Datacenters {
		numbers[dc.Name] = i + 1
		for _, own := range dc.Prefixes {
			s.remotes = append(s.remotes, remote{dc: dc.Name, prefix: own.CIDR, number: i + 1})
		}
	}
	for _, session := range p.Sessions {
		dc := session.Gateway.Datacenter()
		s.remotes = append(s.remotes, remote{dc: dc, prefix: prefixset.Host(session.Remote), source: session.Local, number: numbers[dc]})
	}
	return s
}

// targets returns addresses of other datacenters, for which a rule may lead packets
// elsewhere: those of each part of them for which its table has another route, if the
// table is known, and otherwise the first one.
func (s scope) targets(r routes.ForeignRule) []target {
	table, known := s.Observed.Tables[r.Table]
	if r.Drop != "" || r.Goto != 0 || r.L3Master || r.Not || !known {
		return s.first(r)
	}
	selected := content{r.Family, r.To, r.Table, r.Shortest}
	found, cached := s.contents[selected]
	switch {
	case cached:
		return found
	case len(s.contents) >= maxContents:
		return s.first(r)
	}
	found = s.diverted(r, table)
	s.contents[selected] = found
	return found
}

// first returns an address of the first range that a rule is for.
func (s scope) first(r routes.ForeignRule) []target {
	for _, each := range s.remotes {
		if part, ok := s.selected(each, r); ok {
			if a := inside(part); s.routed(each, a) {
				return []target{{each.dc, a, each.source}}
			}
		}
	}
	return nil
}

// selected returns the part of a range that a rule is for.
func (s scope) selected(each remote, r routes.ForeignRule) (netip.Prefix, bool) {
	switch {
	case routes.FamilyOf(each.prefix.Addr()) != r.Family || r.To.IsValid() && !r.To.Overlaps(each.prefix):
		return netip.Prefix{}, false
	case r.To.IsValid():
		return longer(r.To, each.prefix), true
	default:
		return each.prefix, true
	}
}

// routed reports whether Meshway routes an address of a range.
func (s scope) routed(each remote, a netip.Addr) bool {
	return each.source.IsValid() || prefixset.CoveredBy(s.Routed, prefixset.Host(a))
}

// diverted returns an address for each part of a range that the rule's table routes
// otherwise. Those of longer prefixes come first: the shorter ones are found by any address.
func (s scope) diverted(r routes.ForeignRule, table []routes.HostRoute) []target {
	var parts []remote
	for _, each := range s.remotes {
		if part, ok := s.selected(each, r); ok {
			each.prefix = part
			parts = append(parts, each)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	table = slices.DeleteFunc(slices.Clone(table), func(route routes.HostRoute) bool { return routes.FamilyOf(route.Prefix.Addr()) != r.Family })
	slices.SortStableFunc(table, func(a, b routes.HostRoute) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	table = table[:min(len(table), maxTableRoutes)]
	var out []target
	of := make([]int, len(s.Datacenters)+1) // by number
	for _, route := range table {
		if route.Throw || route.Prefix.Bits() < r.Shortest || s.isLane(route.Device) || route.Device == "lo" && route.Drop == "" {
			continue
		}
		for _, part := range parts {
			if of[part.number] >= maxSameTargets || !part.prefix.Overlaps(route.Prefix) {
				continue
			}
			a, ok := addressOf(route, table, longer(part.prefix, route.Prefix))
			if !ok || !s.routed(part, a) {
				continue
			}
			of[part.number]++
			if out = append(out, target{part.dc, a, part.source}); len(out) == maxTargets {
				return out
			}
		}
	}
	return out
}

// addressOf returns an address in a part of a route's prefix for which no other route of
// the table is more specific; false: none was found in a few attempts.
func addressOf(route routes.HostRoute, table []routes.HostRoute, part netip.Prefix) (netip.Addr, bool) {
	const attempts = 8
	a := inside(part)
	for range attempts {
		i := slices.IndexFunc(table, func(other routes.HostRoute) bool { return other.Prefix.Contains(a) }) // they are sorted by length
		if i >= 0 && table[i] == route {
			return a, true
		}
		if i < 0 || table[i].Prefix == route.Prefix {
			return netip.Addr{}, false // another one has the same prefix and a lower metric
		}
		if a = prefixset.Last(table[i].Prefix).Next(); !part.Contains(a) {
			return netip.Addr{}, false
		}
	}
	return netip.Addr{}, false
}
