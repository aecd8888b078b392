package prefixset_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan/prefixset"
)

// all returns each prefix in 10.0.0.0/29, and its addresses.
func all() (prefixes []netip.Prefix, addresses []netip.Addr) {
	first := netip.MustParseAddr("10.0.0.0")
	for a := first; len(addresses) < 8; a = a.Next() {
		addresses = append(addresses, a)
		for bits := 29; bits <= 32; bits++ {
			if p := netip.PrefixFrom(a, bits); p == p.Masked() {
				prefixes = append(prefixes, p)
			}
		}
	}
	return prefixes, addresses
}

func has(set []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(a) })
}

// disjoint reports whether no two prefixes of a sorted set overlap.
func disjoint(set []netip.Prefix) bool {
	for i := 1; i < len(set); i++ {
		if set[i-1].Overlaps(set[i]) {
			return false
		}
	}
	return slices.IsSortedFunc(set, netip.Prefix.Compare)
}

func TestAggregateAndSubtractKeepExactlyTheAddressesOfTheDifference(t *testing.T) {
	prefixes, addresses := all()
	for _, a := range prefixes {
		for _, b := range prefixes {
			union := prefixset.Aggregate([]netip.Prefix{b, a})
			assert.True(t, disjoint(union), "%v %v", a, b)
			for _, c := range prefixes {
				for _, d := range prefixes {
					holes := prefixset.Aggregate([]netip.Prefix{c, d})
					left := prefixset.Subtract(union, holes)
					assert.True(t, disjoint(left), "%v without %v", union, holes)
					for _, x := range addresses {
						assert.Equal(t, has(union, x) && !has(holes, x), has(left, x), "%v in %v without %v", x, union, holes)
					}
				}
			}
		}
	}
}

func TestARangeCoversItsPartsAndItself(t *testing.T) {
	prefixes, addresses := all()
	for _, p := range prefixes {
		assert.True(t, prefixset.Covers([]netip.Prefix{p}, p))
		assert.False(t, prefixset.IsPart(p, p))
		for _, of := range prefixes {
			contained := !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return p.Contains(a) && !of.Contains(a) })
			assert.Equal(t, contained, prefixset.Covers([]netip.Prefix{of}, p), "%v in %v", p, of)
			assert.Equal(t, contained, prefixset.AllCovered([]netip.Prefix{p}, []netip.Prefix{of}), "%v in %v", p, of)
			assert.Equal(t, contained && p != of, prefixset.IsPart(p, of), "%v in %v", p, of)
		}
	}
	for _, a := range addresses {
		assert.Equal(t, netip.PrefixFrom(a, 32), prefixset.Host(a))
	}
}
