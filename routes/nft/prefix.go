//go:build linux

package nft

import (
	"net/netip"
	"slices"
)

// disjoint returns the prefixes that no other prefix covers, sorted, because sets
// of intervals must not overlap.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	// The order puts a prefix right after those that cover it.
	list := slices.SortedFunc(slices.Values(prefixes), netip.Prefix.Compare)
	var kept []netip.Prefix
	for _, p := range list {
		if n := len(kept); n > 0 && kept[n-1].Overlaps(p) {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}
