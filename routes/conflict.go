package routes

import (
	"fmt"
	"slices"
)

// withoutConflicts is the part of want that can be made although others hold
// nexthop ids of our range: a group lives on with the legs that remain, or with
// the blackhole. Our routes must never lead to a nexthop that another owns.
func withoutConflicts(want Config, foreign []ForeignNexthop) (Config, []Conflict) {
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

// conflictFilter takes out of a Config what depends on foreign nexthops.
type conflictFilter struct {
	protocol  map[uint32]int // of the ids that are not to be had
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
	hole := BlackholeID(g.Family)
	if protocol, taken := s.protocol[hole]; taken && reduced.Members[0] == hole {
		s.conflict("nexthop "+g.String(), conflictReason(hole, protocol))
		s.protocol[g.ID] = DefaultProtocol // its routes have nothing to lead to
		return g, false
	}
	return reduced, true
}

func (s *conflictFilter) route(r Route, table int) bool {
	_, taken := s.protocol[r.Nexthop]
	if taken {
		s.conflict("route "+r.Text(table), fmt.Sprintf("nexthop id %#x cannot be made", r.Nexthop))
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

// filter is slices.DeleteFunc that leaves its input alone.
func filter[T any](list []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return !keep(e) })
}
