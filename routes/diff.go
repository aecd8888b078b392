package routes

import (
	"net/netip"
	"slices"
)

// Diff returns the change that turns have into want. Without prune it deletes
// nothing. Diff is pure; the change is empty if have equals want.
func Diff(want Config, have Observed, prune bool) Change {
	want, conflicts := withoutConflicts(want, have)
	c := Change{
		Table:   want.Table,
		Sysctls: diffSysctls(want.Sysctls, have.Sysctls),
		Nexthops: delta(want.Nexthops, have.Nexthops, prune,
			func(n Nexthop) uint32 { return n.ID }, equal[Nexthop]),
		// The kernel does not keep a group's family.
		Groups: delta(want.Groups, have.Groups, prune, func(g Group) uint32 { return g.ID },
			func(a, b Group) bool { return slices.Equal(a.Members, b.Members) }),
		Routes: delta(want.Routes, have.Routes, prune,
			Route.key, equal[Route]),
		Rules: delta(want.Rules, have.Rules, prune,
			func(r Rule) Rule { return r }, equal[Rule]),
		Conflicts: conflicts,
	}
	if slices.ContainsFunc(c.Routes.Delete, func(r Route) bool { return r.family() == IPv6 }) {
		c.Refresh = filter(want.Groups, func(g Group) bool { return g.Family == IPv6 })
	}
	return c
}

// routeKey identifies a route.
type routeKey struct {
	prefix netip.Prefix
	toNode bool
	metric uint32
}

func (r Route) key() routeKey { return routeKey{r.Prefix, r.ToNode, r.Kind.Metric()} }

func equal[T comparable](a, b T) bool { return a == b }

// delta compares two sets. If several entries have the same key, which only
// another program can cause, the first is kept and the others are deleted.
func delta[T any, K comparable](want, have []T, prune bool, key func(T) K, same func(a, b T) bool) Delta[T] {
	var d Delta[T]
	existing := make(map[K]T, len(have))
	var duplicates []T
	for _, h := range have {
		if _, twice := existing[key(h)]; twice {
			duplicates = append(duplicates, h)
			continue
		}
		existing[key(h)] = h
	}
	wanted := make(map[K]struct{}, len(want))
	for _, w := range want {
		wanted[key(w)] = struct{}{}
		h, exists := existing[key(w)]
		switch {
		case !exists:
			d.Add = append(d.Add, w)
		case !same(w, h):
			d.Replace = append(d.Replace, w)
		}
	}
	if !prune {
		return d
	}
	for _, h := range have {
		if _, ok := wanted[key(h)]; !ok {
			d.Delete = append(d.Delete, h)
		}
	}
	for _, h := range duplicates {
		if _, ok := wanted[key(h)]; ok { // otherwise it is already in the list
			d.Delete = append(d.Delete, h)
		}
	}
	return d
}

// diffSysctls returns the desired settings that differ, in the order of want.
func diffSysctls(want, have []Sysctl) []Sysctl {
	var set []Sysctl
	for _, w := range want {
		if !slices.Contains(have, w) {
			set = append(set, w)
		}
	}
	return set
}

// countRepairs returns how many of the entries that a change writes existed
// unchanged when the state was last observed.
func countRepairs(c Change, last Config) uint64 {
	same := 0
	same += countIn(slices.Concat(c.Nexthops.Add, c.Nexthops.Replace), last.Nexthops, Nexthop.String)
	same += countIn(slices.Concat(c.Groups.Add, c.Groups.Replace), last.Groups, Group.String)
	same += countIn(slices.Concat(c.Routes.Add, c.Routes.Replace), last.Routes, identity[Route])
	same += countIn(slices.Concat(c.Rules.Add, c.Rules.Replace), last.Rules, identity[Rule])
	same += countIn(c.Sysctls, last.Sysctls, identity[Sysctl])
	return uint64(same) //nolint:gosec // a sum of lengths
}

func identity[T any](e T) T { return e }

func countIn[T any, K comparable](written, last []T, key func(T) K) int {
	if len(written) == 0 {
		return 0
	}
	before := make(map[K]struct{}, len(last))
	for _, e := range last {
		before[key(e)] = struct{}{}
	}
	n := 0
	for _, e := range written {
		if _, ok := before[key(e)]; ok {
			n++
		}
	}
	return n
}
