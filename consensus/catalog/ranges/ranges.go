// Package ranges finds addresses in many prefixes.
package ranges

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// Set is a set of prefixes. To find an address or a prefix in it costs as much as it has
// different lengths of prefixes, however many prefixes there are.
type Set struct {
	lengths  []int
	prefixes map[netip.Prefix]bool // masked
}

// Of returns the set of some prefixes.
func Of(prefixes []catalog.Prefix) Set {
	r := Set{prefixes: make(map[netip.Prefix]bool, len(prefixes))}
	for _, p := range prefixes {
		r.prefixes[p.CIDR.Masked()] = true
		r.lengths = append(r.lengths, p.CIDR.Bits())
	}
	slices.Sort(r.lengths)
	r.lengths = slices.Compact(r.lengths)
	return r
}

// Contain reports whether a prefix of the set contains a. None contains an address with a
// zone.
func (r Set) Contain(a netip.Addr) bool {
	return a.Zone() == "" && r.covers(netip.PrefixFrom(a, a.BitLen()))
}

// Cover reports whether each of the prefixes is within one of the set.
func (r Set) Cover(prefixes []catalog.Prefix) bool {
	return !slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool { return !r.covers(p.CIDR) })
}

func (r Set) covers(p netip.Prefix) bool {
	for _, bits := range r.lengths {
		if bits > p.Bits() {
			return false
		}
		if wider, err := p.Addr().Prefix(bits); err == nil && r.prefixes[wider] {
			return true
		}
	}
	return false
}
