package routes

import (
	"fmt"
	"slices"
)

// withoutConflicts is the part of want that can be made although others hold
// nexthop ids of our range: a group lives on with the legs that remain, and is
// left out, with its routes, when none does. Our routes must never lead to a
// nexthop that another owns.
func withoutConflicts(want Config, foreign []ForeignNexthop) (Config, []Conflict) {
	if len(foreign) == 0 {
		return want, nil
	}
	protocol := make(map[uint32]int, len(foreign))
	for _, f := range foreign {
		protocol[f.ID] = f.Protocol
	}
	p := pruner{protocol: protocol}
	want.Nexthops = filter(want.Nexthops, p.nexthop)
	groups := make([]Group, 0, len(want.Groups))
	for _, g := range want.Groups {
		if g, ok := p.group(g); ok {
			groups = append(groups, g)
		}
	}
	want.Groups = groups
	want.Routes = filter(want.Routes, func(r Route) bool { return p.route(r, want.Table) })
	return want, p.conflicts
}

// pruner takes out of a Config what depends on foreign nexthops.
type pruner struct {
	protocol  map[uint32]int // of the ids that are not to be had
	conflicts []Conflict
}

func (p *pruner) nexthop(n Nexthop) bool {
	protocol, taken := p.protocol[n.ID]
	if taken {
		p.conflict("nexthop "+n.String(), foreignReason(n.ID, protocol))
	}
	return !taken
}

func (p *pruner) group(g Group) (Group, bool) {
	if protocol, taken := p.protocol[g.ID]; taken {
		p.conflict("nexthop "+g.String(), foreignReason(g.ID, protocol))
		return g, false
	}
	g.Members = filter(g.Members, func(id uint32) bool {
		_, taken := p.protocol[id]
		return !taken
	})
	if len(g.Members) > 0 {
		return g, true
	}
	p.conflict("nexthop "+g.String(), "none of its legs can be made")
	p.protocol[g.ID] = DefaultProtocol // its routes have nothing to lead to
	return g, false
}

func (p *pruner) route(r Route, table int) bool {
	_, taken := p.protocol[r.Nexthop]
	if taken {
		p.conflict("route "+r.Text(table), fmt.Sprintf("nexthop id %#x cannot be made", r.Nexthop))
	}
	return !taken
}

func (p *pruner) conflict(entry, reason string) {
	p.conflicts = append(p.conflicts, Conflict{Entry: entry, Reason: reason})
}

func foreignReason(id uint32, protocol int) string {
	return fmt.Sprintf("nexthop id %#x belongs to protocol %d, not to Meshway: "+
		"remove it (ip nexthop del id %#x) or configure its owner to use other ids", id, protocol, id)
}

// filter is slices.DeleteFunc that leaves its input alone.
func filter[T any](list []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return !keep(e) })
}
