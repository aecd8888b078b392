package catalog_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestPrefixOfAllAddressesIsRefused(t *testing.T) {
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		require.ErrorContains(t, catalog.ValidatePrefixes(prefixes(catalog.PodPrefix, all)), "contains every address")
	}
}

func TestPrefixesOfOneDatacenterMayNestButNotRepeat(t *testing.T) {
	require.NoError(t, catalog.ValidatePrefixes(nil))
	require.NoError(t, catalog.ValidatePrefixes(append(
		prefixes(catalog.NodePrefix, "192.168.0.0/16", "192.168.1.5/32", "240.1.0.0/16", "fd00::/64"),
		prefixes(catalog.PodPrefix, "10.0.0.0/8", "10.1.0.0/16")...)))
	for _, list := range [][]catalog.Prefix{
		append(prefixes(catalog.PodPrefix, "10.0.0.0/8"), prefixes(catalog.NodePrefix, "10.0.0.0/8")...),
		{{CIDR: netip.MustParsePrefix("10.0.0.0/8")}},
		{{Kind: catalog.PodPrefix}},
		prefixes(catalog.PodPrefix, "224.0.0.0/8"),
		prefixes(catalog.PodPrefix, "ff00::/16"),
		prefixes(catalog.PodPrefix, "::/1"),
		prefixes(catalog.PodPrefix, "8000::/1"),
	} {
		r, ok := errors.AsType[*catalog.Refusal](catalog.ValidatePrefixes(list))
		require.True(t, ok, "%v", list)
		assert.True(t, strings.HasPrefix(r.Field, "prefixes["), r.Field)
		assert.NotEmpty(t, r.Remedy)
	}
}

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
