package ranges_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/ranges"
)

func TestRangesContainWhatADatacenterContains(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(4)), byte(random.IntN(8))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: byte(random.IntN(4)), 2: byte(random.IntN(4)), 15: byte(random.IntN(8))})
	}
	for range 2000 {
		var dc catalog.Datacenter
		for range random.IntN(6) {
			a := address()
			dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.PrefixFrom(a, 8+random.IntN(a.BitLen()-7)).Masked()})
		}
		set := ranges.Of(dc.Prefixes)
		for range 20 {
			a := address()
			assert.Equal(t, dc.Contains(a), set.Contain(a), "%v in %v", a, dc.Prefixes)
			one := catalog.Prefix{CIDR: netip.PrefixFrom(a, 8+random.IntN(a.BitLen()-7)).Masked()}
			covered := false
			for _, p := range dc.Prefixes {
				covered = covered || p.CIDR.Bits() <= one.CIDR.Bits() && p.CIDR.Contains(one.CIDR.Addr())
			}
			assert.Equal(t, covered, set.Cover([]catalog.Prefix{one}), "%v in %v", one, dc.Prefixes)
		}
	}
	set := ranges.Of([]catalog.Prefix{{CIDR: netip.MustParsePrefix("fe80::/10")}, {CIDR: netip.MustParsePrefix("10.0.0.0/8")}})
	assert.False(t, set.Contain(netip.MustParseAddr("fe80::1%eth0")))
	assert.False(t, set.Contain(netip.MustParseAddr("::ffff:10.0.0.1")))
	assert.True(t, set.Cover(nil))
	assert.False(t, ranges.Of(nil).Contain(netip.MustParseAddr("10.0.0.1")))
}
