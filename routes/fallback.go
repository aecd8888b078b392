package routes

import (
	"cmp"
	"slices"
)

// reduced is the group with those of its legs that can be had. When none can
// it drops packets: they must not take another way, unencrypted.
func (g Group) reduced(had func(id uint32) bool) Group {
	legs := filter(g.Members, had)
	if len(legs) == 0 {
		legs = []uint32{BlackholeID(g.Family)}
	}
	g.Members = legs
	return g
}

// withBlackholes adds the blackhole legs that groups need, and stays sorted.
func withBlackholes(nexthops []Nexthop, groups []Group) []Nexthop {
	for _, family := range []Family{IPv4, IPv6} {
		blackhole := Nexthop{ID: BlackholeID(family), Family: family}
		needed := slices.ContainsFunc(groups, func(g Group) bool { return slices.Contains(g.Members, blackhole.ID) })
		i, found := slices.BinarySearchFunc(nexthops, blackhole, func(a, b Nexthop) int { return cmp.Compare(a.ID, b.ID) })
		if needed && !found {
			nexthops = slices.Insert(slices.Clone(nexthops), i, blackhole)
		}
	}
	return nexthops
}

// fallback is what to fall back to after a write that failed: the groups that
// are missing, for one of their legs is (its device went down a moment ago,
// say), with the legs that exist or the blackhole, and the routes to them.
func fallback(want Config, have Observed) Config {
	exists := make(map[uint32]bool, len(have.Nexthops)+len(have.Groups))
	for _, n := range have.Nexthops {
		exists[n.ID] = true
	}
	for _, g := range have.Groups {
		exists[g.ID] = true
	}
	back := Config{Table: want.Table}
	missing := map[uint32]bool{}
	for _, g := range want.Groups {
		if !exists[g.ID] {
			missing[g.ID] = true
			back.Groups = append(back.Groups, g.reduced(func(id uint32) bool { return exists[id] }))
		}
	}
	back.Nexthops = withBlackholes(nil, back.Groups)
	back.Routes = filter(want.Routes, func(r Route) bool { return missing[r.Nexthop] })
	return back
}
