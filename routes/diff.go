package routes

import (
	"cmp"
	"slices"
)

// Diff returns the change that turns have into want. Without prune it deletes
// nothing. Diff is pure; the change is empty if have equals want.
func Diff(want Config, have Observed, prune bool) Change {
	want, conflicts := withoutConflicts(want, have)
	c := Change{
		Table:    want.Table,
		Sysctls:  diffSysctls(want.Sysctls, have.Sysctls),
		Nexthops: delta(want.Nexthops, have.Nexthops, prune, func(a, b Nexthop) int { return cmp.Compare(a.ID, b.ID) }, equal[Nexthop]),
		// The kernel does not keep a group's family.
		Groups:    delta(want.Groups, have.Groups, prune, compareGroups, sameGroup),
		Routes:    delta(want.Routes, have.Routes, prune, CompareRoutes, equal[Route]),
		Rules:     delta(want.Rules, have.Rules, prune, compareRules, equal[Rule]),
		Conflicts: conflicts,
	}
	if slices.ContainsFunc(c.Routes.Delete, func(r Route) bool { return r.family() == IPv6 }) {
		c.Refresh = filter(want.Groups, func(g Group) bool { return g.Family == IPv6 })
	}
	return c
}

// CompareRoutes orders routes as Config documents. Two routes are equal for it if
// they are the same entry of the kernel.
func CompareRoutes(a, b Route) int {
	if a.ToNode != b.ToNode {
		if b.ToNode {
			return -1
		}
		return 1
	}
	if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 { // netip.Prefix.Compare masks both, at three times the cost
		return c
	}
	if c := cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind.Metric(), b.Kind.Metric())
}

func compareGroups(a, b Group) int { return cmp.Compare(a.ID, b.ID) }

func sameGroup(a, b Group) bool { return a.ID == b.ID && slices.Equal(a.Members, b.Members) }

func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.In, b.In))
}

func equal[T comparable](a, b T) bool { return a == b }

// delta compares two sets in one pass over both, since they are sorted. If several
// entries are the same for compare, which only another program can cause, the first
// is kept and the others are deleted.
func delta[T any](want, have []T, prune bool, compare func(a, b T) int, same func(a, b T) bool) Delta[T] {
	var d Delta[T]
	want, have = differing(want, have, same)
	want, have = ordered(want, compare), ordered(have, compare)
	for len(want)+len(have) > 0 {
		switch order := compareFirst(want, have, compare); {
		case order < 0:
			d.Add, want = append(d.Add, want[0]), want[1:]
		case order > 0:
			if prune {
				d.Delete = append(d.Delete, have[0])
			}
			have = have[1:]
		default:
			first := have[0]
			for ; len(want) > 0 && compare(want[0], first) == 0; want = want[1:] {
				if !same(want[0], first) {
					d.Replace = append(d.Replace, want[0])
				}
			}
			for have = have[1:]; len(have) > 0 && compare(have[0], first) == 0; have = have[1:] {
				if prune {
					d.Delete = append(d.Delete, have[0])
				}
			}
		}
	}
	return d
}

// differing returns two lists without what they begin and end with alike. Most changes
// are few entries of many, and to compare all of them for order costs ten times as much.
func differing[T any](a, b []T, same func(a, b T) bool) (restA, restB []T) {
	for len(a) > 0 && len(b) > 0 && same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && same(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// compareFirst compares the first elements of two lists; one that is empty is last.
func compareFirst[T any](a, b []T, compare func(a, b T) int) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compare(a[0], b[0])
}

// ordered returns a list sorted, which it usually is.
func ordered[T any](list []T, compare func(a, b T) int) []T {
	if slices.IsSortedFunc(list, compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return list
}

// diffSysctls returns the desired settings that differ, in the order of want.
func diffSysctls(want, have []Sysctl) []Sysctl {
	exists := make(map[Sysctl]bool, len(have))
	for _, h := range have {
		exists[h] = true
	}
	return filter(want, func(w Sysctl) bool { return !exists[w] })
}

// countRepairs returns how many of the entries that a change writes existed
// unchanged when the state was last observed.
func countRepairs(c Change, last Config) uint64 {
	same := 0
	same += countIn(slices.Concat(c.Nexthops.Add, c.Nexthops.Replace), last.Nexthops, func(a, b Nexthop) int { return cmp.Compare(a.ID, b.ID) }, equal[Nexthop])
	same += countIn(slices.Concat(c.Groups.Add, c.Groups.Replace), last.Groups, compareGroups, sameGroup)
	same += countIn(slices.Concat(c.Routes.Add, c.Routes.Replace), last.Routes, CompareRoutes, equal[Route])
	same += countIn(slices.Concat(c.Rules.Add, c.Rules.Replace), last.Rules, compareRules, equal[Rule])
	same += countIn(c.Sysctls, last.Sysctls, func(a, b Sysctl) int { return cmp.Compare(a.Key, b.Key) }, equal[Sysctl])
	return uint64(same) //nolint:gosec // a sum of lengths
}

// countIn counts the written entries that are in the last state, which is sorted.
func countIn[T any](written, last []T, compare func(a, b T) int, same func(a, b T) bool) int {
	n := 0
	for _, w := range written {
		if i, ok := slices.BinarySearchFunc(last, w, compare); ok && same(w, last[i]) {
			n++
		}
	}
	return n
}
