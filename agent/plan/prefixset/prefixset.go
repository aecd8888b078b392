// Package prefixset calculates with sets of addresses that are lists of prefixes.
package prefixset

import (
	"cmp"
	"net/netip"
	"slices"
)

// Aggregate returns the prefixes masked and sorted, without those that another one
// contains: nftables sets of intervals accept no overlaps.
func Aggregate(in []netip.Prefix) []netip.Prefix {
	if len(in) == 0 {
		return nil
	}
	sorted := make([]netip.Prefix, len(in))
	for i, p := range in {
		sorted[i] = p.Masked()
	}
	return AggregateMasked(sorted)
}

// AggregateMasked is Aggregate for prefixes that are masked. It uses the given list.
func AggregateMasked(in []netip.Prefix) []netip.Prefix {
	sort(in)
	out := in[:0]
	for _, p := range in {
		// A prefix sorts after those that contain it, with only their other parts in between.
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// Union returns the prefixes of two lists that are aggregated, as is the result.
func Union(a, b []netip.Prefix) []netip.Prefix {
	if len(b) == 0 {
		return a
	}
	return Aggregate(slices.Concat(a, b))
}

// Distinct sorts prefixes and removes those that are repeated. It uses the given list.
func Distinct(in []netip.Prefix) []netip.Prefix {
	sort(in)
	return slices.Compact(in)
}

// sort sorts a list, which often is sorted already.
func sort(list []netip.Prefix) {
	if !slices.IsSortedFunc(list, Compare) {
		slices.SortFunc(list, Compare)
	}
}

// Compare is netip.Prefix.Compare for prefixes that are masked, at a third of the cost.
func Compare(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// Subtract returns prefixes that cover the given ones without the holes. Both
// are aggregated, as is the result.
func Subtract(prefixes, holes []netip.Prefix) []netip.Prefix {
	if len(holes) == 0 {
		return prefixes
	}
	var out []netip.Prefix
	for _, p := range prefixes {
		i, found := slices.BinarySearchFunc(holes, p, netip.Prefix.Compare)
		if found || i > 0 && holes[i-1].Overlaps(p) {
			continue // a hole covers it
		}
		end := i
		for end < len(holes) && p.Contains(holes[end].Addr()) {
			end++
		}
		if end == i {
			out = append(out, p)
			continue
		}
		lower, upper := halves(p)
		out = append(out, Subtract([]netip.Prefix{lower, upper}, holes[i:end])...)
	}
	return out
}

// halves splits a prefix that has more than one address.
func halves(p netip.Prefix) (lower, upper netip.Prefix) {
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	second, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(second, p.Bits()+1)
}

// Covers reports whether one of the ranges contains all of p.
func Covers(ranges []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// IsPart reports whether p is a part of another prefix, but not all of it.
func IsPart(p, of netip.Prefix) bool {
	return p.Bits() > of.Bits() && of.Contains(p.Addr())
}

// AllCovered reports whether each prefix is contained in one of the ranges.
func AllCovered(prefixes, ranges []netip.Prefix) bool {
	return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return !Covers(ranges, p) })
}

// Host returns the prefix that contains only a.
func Host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Last returns the last address of a prefix.
func Last(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}
