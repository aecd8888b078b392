package kube

import (
	"net/netip"
	"slices"
)

// Aggregate returns the fewest prefixes that cover exactly the same addresses,
// sorted. Invalid prefixes are ignored.
func Aggregate(in []netip.Prefix) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range in {
		if p.IsValid() {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue // the wider one sorts first
		}
		out = append(out, p)
		out = mergeHalves(out)
	}
	return out
}

// mergeHalves replaces the last two prefixes by their parent as long as they are
// its two halves.
func mergeHalves(list []netip.Prefix) []netip.Prefix {
	for n := len(list); n > 1; n = len(list) {
		a, b := list[n-2], list[n-1]
		if a.Bits() != b.Bits() || a.Bits() == 0 {
			break
		}
		parent := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
		if !parent.Contains(b.Addr()) {
			break
		}
		list = append(list[:n-2], parent)
	}
	return list
}
