//go:build linux

package nft

import (
	"net/netip"
	"slices"
)

// disjoint leaves out prefixes that another covers, and sorts the rest: sets
// of intervals take no overlaps.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	// Sorted so that a prefix comes right behind those that cover it.
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
