package tunnelend_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan/tunnelend"
	"github.com/meshway/meshway/tunnel"
)

func assign(own tunnel.PublicKey, others ...tunnel.PublicKey) tunnelend.Ends {
	return tunnelend.Assign(own, others, func(key tunnel.PublicKey) tunnel.PublicKey { return key })
}

func TestEachHostHasOneAddressOfEachFamily(t *testing.T) {
	a, b := tunnel.PublicKey{1}, tunnel.PublicKey{2}
	ends := assign(a, b, a)
	require.Len(t, ends, 2)
	assert.Equal(t, ends[a], assign(b, a)[a], "an address does not depend on the other hosts")
	for _, addresses := range ends {
		require.Len(t, addresses, 2)
		assert.True(t, netip.MustParsePrefix("240.0.0.0/5").Contains(addresses[0]))
		assert.True(t, netip.MustParsePrefix("fd9b:417e:c305::/64").Contains(addresses[1]))
	}
	assert.Equal(t, "fd9b:417e:c305:0:1d0:fabd:251f:cbbe", ends[a][1].String(), "as agents before this version derive it")
}

func TestNoHostHasAnAddressThatTheFederationUses(t *testing.T) {
	key := tunnel.PublicKey{1}
	used := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.PrefixFrom(assign(key)[key][0], 16).Masked()}
	ends := tunnelend.Assign(key, nil, func(k tunnel.PublicKey) tunnel.PublicKey { return k }, used...)
	require.Len(t, ends[key], 1)
	assert.True(t, ends[key][0].Is6())
}

// TestOfTwoHostsWithTheSameIPv4AddressTheFirstHasIt has as many hosts as it takes for
// two that collide.
func TestOfTwoHostsWithTheSameIPv4AddressTheFirstHasIt(t *testing.T) {
	var keys []tunnel.PublicKey
	for i := range uint32(30_000) {
		var key tunnel.PublicKey
		binary.BigEndian.PutUint32(key[:], i)
		keys = append(keys, key)
	}
	ends := assign(keys[0], keys[1:]...)
	owner := map[netip.Addr]tunnel.PublicKey{}
	alone := 0
	for _, key := range keys {
		for _, a := range ends[key] {
			require.Zero(t, owner[a], "%v has two owners", a)
			owner[a] = key
		}
		if len(ends[key]) == 1 {
			alone++
			assert.True(t, ends[key][0].Is6())
		}
	}
	assert.Positive(t, alone, "no two hosts collide: this test needs more")
	assert.Less(t, alone, 20)
}
