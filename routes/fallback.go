package routes

import (
	"cmp"
	"net/netip"
	"slices"
)

// reduced returns the group with the available of its members. If there is none
// its member is the blackhole, because packets must not be sent unencrypted along
// another route.
func (g Group) reduced(available func(id uint32) bool) Group {
	members := filter(g.Members, available)
	if len(members) == 0 {
		members = []uint32{BlackholeID(g.Family)}
	}
	g.Members = members
	return g
}

// withBlackholes adds the blackhole nexthops that groups need. The result is sorted.
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

// fallback returns the entries to add after a failed write: the missing groups
// with those of their nexthops that exist or the blackhole, and the routes to
// these groups. A group is missing if one of its nexthops could not be created,
// for example because its device has just gone down. A group that would only drop
// packets is left out if all its routes have a standby, which then applies.
func fallback(want Config, have Observed) Config {
	exists := make(map[uint32]bool, len(have.Nexthops)+len(have.Groups))
	for _, n := range have.Nexthops {
		exists[n.ID] = true
	}
	for _, g := range have.Groups {
		exists[g.ID] = true
	}
	replaceable := withStandby(want, exists)
	entries := Config{Table: want.Table}
	missing := map[uint32]bool{}
	for _, g := range want.Groups {
		reduced := g.reduced(func(id uint32) bool { return exists[id] })
		drops := slices.Contains(reduced.Members, BlackholeID(g.Family))
		if !exists[g.ID] && !(drops && replaceable[g.ID]) {
			missing[g.ID] = true
			entries.Groups = append(entries.Groups, reduced)
		}
	}
	entries.Nexthops = withBlackholes(nil, entries.Groups)
	entries.Routes = filter(want.Routes, func(r Route) bool { return missing[r.Nexthop] })
	return entries
}

// withStandby returns the groups of which all routes have a standby through an
// existing group.
func withStandby(want Config, exists map[uint32]bool) map[uint32]bool {
	standby := map[netip.Prefix]bool{}
	for _, r := range want.Routes {
		if r.Kind == Standby && exists[r.Nexthop] {
			standby[r.Prefix] = true
		}
	}
	groups := map[uint32]bool{}
	if len(standby) == 0 {
		return groups
	}
	for _, r := range want.Routes {
		if r.Kind == ToNexthop {
			covered, seen := groups[r.Nexthop]
			groups[r.Nexthop] = standby[r.Prefix] && (covered || !seen)
		}
	}
	return groups
}
