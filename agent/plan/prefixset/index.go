package prefixset

import (
	"net/netip"
	"slices"
)

// Index finds the entries of a set of prefixes that overlap another one. An entry or a
// search takes one look-up for each length of prefix that is in use, however large
// the set is.
type Index struct {
	lengths  map[bool][]int // of IPv4 and other prefixes, ascending
	entries  map[netip.Prefix]int
	contains map[netip.Prefix]int // the first entry in a prefix of one of the lengths
	next     int
}

// NewIndex returns an empty index for prefixes with the lengths of those given.
func NewIndex(prefixes []netip.Prefix) *Index {
	x := &Index{lengths: map[bool][]int{}, entries: make(map[netip.Prefix]int, len(prefixes)), contains: make(map[netip.Prefix]int, len(prefixes))}
	var used [2][129]bool
	for _, p := range prefixes {
		if p.IsValid() {
			used[family(p)][p.Bits()] = true
		}
	}
	for f, lengths := range used {
		for bits, ok := range lengths {
			if ok {
				x.lengths[f == 0] = append(x.lengths[f == 0], bits)
			}
		}
	}
	return x
}

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// Add adds a prefix of one of the lengths and returns its number: how many were added
// before.
func (x *Index) Add(p netip.Prefix) int {
	n := x.next
	x.next++
	for _, bits := range x.lengths[p.Addr().Is4()] {
		if bits > p.Bits() {
			break
		}
		within := netip.PrefixFrom(p.Addr(), bits).Masked()
		if _, ok := x.contains[within]; !ok {
			x.contains[within] = n
		}
	}
	if _, ok := x.entries[p]; !ok {
		x.entries[p] = n
	}
	return n
}

// First returns the lowest number of the prefixes that overlap one of the lengths;
// false if none does.
func (x *Index) First(p netip.Prefix) (int, bool) {
	first, found := x.contains[p]
	for _, bits := range x.lengths[p.Addr().Is4()] {
		if bits > p.Bits() {
			break
		}
		if n, ok := x.entries[netip.PrefixFrom(p.Addr(), bits).Masked()]; ok && (!found || n < first) {
			first, found = n, true
		}
	}
	return first, found
}

// Longest returns the number of the longest prefix that contains an address.
func (x *Index) Longest(a netip.Addr) (int, bool) {
	for _, bits := range slices.Backward(x.lengths[a.Is4()]) {
		if n, ok := x.entries[netip.PrefixFrom(a, bits).Masked()]; ok {
			return n, true
		}
	}
	return 0, false
}

// CoveredBy reports whether an aggregated list contains all of p.
func CoveredBy(aggregated []netip.Prefix, p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(aggregated, p.Masked(), Compare)
	return found || i > 0 && aggregated[i-1].Bits() <= p.Bits() && aggregated[i-1].Contains(p.Addr())
}
