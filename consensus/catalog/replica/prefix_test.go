package replica_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestOverlapSearchMatchesPairwiseComparison(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	randomPrefix := func() netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, 12+r.IntN(21)).Masked()
	}
	refused, accepted := 0, 0
	for range 300 {
		m := newMembers(t)
		dc := testDatacenter(t, "east", randomPrefix().String())
		dc.Prefixes = append(dc.Prefixes, prefixes(catalog.NodePrefix, "172.16.0.0/24", "172.16.0.1/32")...)
		m.must(eastGateway, catalog.NewInit(testFederation("fd00::/48"), dc, testGateway("east", "gw0")))
		m.token("t1", "")
		join := joinRequest(t, "t1", "west", randomPrefix().String())
		result := m.do(eastGateway, catalog.NewJoin(join))
		if overlap(dc, join.Datacenter) {
			require.NotNil(t, result.Refusal)
			require.Equal(t, catalog.CodePrefixOverlap, result.Refusal.Code)
			refused++
		} else {
			require.Nil(t, result.Refusal)
			accepted++
		}
	}
	assert.Greater(t, refused, 20)
	assert.Greater(t, accepted, 20)
}
