package routes

import (
	"fmt"
	"net/netip"
	"slices"
)

// withoutConflicts returns the part of want that can be created although foreign
// nexthops have ids of Meshway's range, and foreign routes are in its table, and
// the conflicts. A group keeps the remaining nexthops, or gets the blackhole. No
// route of Meshway may use a foreign nexthop.
func withoutConflicts(want Config, have Observed) (Config, []Conflict) {
	want, conflicts := withoutForeignNexthops(want, have.ForeignNexthops)
	blocked := map[netip.Prefix]ForeignRoute{}
	for _, f := range have.Foreign {
		if f.Blocks {
			blocked[f.Prefix] = f
		}
	}
	if len(blocked) == 0 {
		return want, conflicts
	}
	want.Routes = filter(want.Routes, func(r Route) bool {
		f, ok := blocked[r.Prefix]
		if ok = ok && !r.ToNode; ok {
			conflicts = append(conflicts, Conflict{Entry: "route " + r.Text(want.Table), Reason: f.reason(want.Table)})
		}
		return !ok
	})
	return want, conflicts
}

// reason returns whose route is in Meshway's table, and the remedy.
func (f ForeignRoute) reason(table int) string {
	device := ""
	if f.Device != "" {
		device = " dev " + f.Device
	}
	return fmt.Sprintf("a route of protocol %d%s to it is in table %d, not of Meshway: "+
		"remove it (ip route del %s table %d proto %d) or configure its owner to use another table", f.Protocol, device, table, f.Prefix, table, f.Protocol)
}

func withoutForeignNexthops(want Config, foreign []ForeignNexthop) (Config, []Conflict) {
	if len(foreign) == 0 {
		return want, nil
	}
	protocol := make(map[uint32]int, len(foreign))
	for _, f := range foreign {
		protocol[f.ID] = f.Protocol
	}
	s := conflictFilter{protocol: protocol}
	want.Nexthops = filter(want.Nexthops, s.nexthop)
	groups := make([]Group, 0, len(want.Groups))
	for _, g := range want.Groups {
		if g, ok := s.group(g); ok {
			groups = append(groups, g)
		}
	}
	want.Groups = groups
	want.Nexthops = withBlackholes(want.Nexthops, groups)
	want.Routes = filter(want.Routes, func(r Route) bool { return s.route(r, want.Table) })
	return want, s.conflicts
}

// conflictFilter removes from a Config the entries that depend on foreign nexthops.
type conflictFilter struct {
	protocol  map[uint32]int // of the ids that are not available
	conflicts []Conflict
}

func (s *conflictFilter) nexthop(n Nexthop) bool {
	protocol, taken := s.protocol[n.ID]
	if taken {
		s.conflict("nexthop "+n.String(), conflictReason(n.ID, protocol))
	}
	return !taken
}

func (s *conflictFilter) group(g Group) (Group, bool) {
	if protocol, taken := s.protocol[g.ID]; taken {
		s.conflict("nexthop "+g.String(), conflictReason(g.ID, protocol))
		return g, false
	}
	reduced := g.reduced(func(id uint32) bool { return s.protocol[id] == 0 })
	blackhole := BlackholeID(g.Family)
	if protocol, taken := s.protocol[blackhole]; taken && reduced.Members[0] == blackhole {
		s.conflict("nexthop "+g.String(), conflictReason(blackhole, protocol))
		s.protocol[g.ID] = DefaultProtocol // its routes have no nexthop either
		return g, false
	}
	return reduced, true
}

func (s *conflictFilter) route(r Route, table int) bool {
	_, taken := s.protocol[r.Nexthop]
	if taken {
		s.conflict("route "+r.Text(table), fmt.Sprintf("nexthop id %#x cannot be created", r.Nexthop))
	}
	return !taken
}

func (s *conflictFilter) conflict(entry, reason string) {
	s.conflicts = append(s.conflicts, Conflict{Entry: entry, Reason: reason})
}

func conflictReason(id uint32, protocol int) string {
	return fmt.Sprintf("nexthop id %#x belongs to protocol %d, not to Meshway: "+
		"remove it (ip nexthop del id %#x) or configure its owner to use other ids", id, protocol, id)
}

// filter returns the entries for which keep returns true. It does not modify list.
func filter[T any](list []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return !keep(e) })
}
