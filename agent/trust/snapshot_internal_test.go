package trust

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
)

func TestForgedSnapshotIsRefusedAndOneBadRecordIsNot(t *testing.T) {
	east, west, north, south := newMember(t, "east", 1).sign(1), newMember(t, "west", 2).sign(1), newMember(t, "north", 3).sign(1), newMember(t, "south", 4).sign(1)
	local := catalogOf(1, east, west, north, south)
	ledger := judgeAll(local).Ledger
	otherCA := func(m *member) *member {
		return newMember(t, m.datacenter.Name, byte(m.datacenter.Ordinal)).sign(2)
	}
	otherEndpoint := func(m *member) *member {
		changed := m.copy()
		changed.gateway.Endpoints = []string{"203.0.113.66:51820"} // the signature is of the former
		return changed
	}
	otherOverlay := catalogOf(2, east, west, north, south)
	otherOverlay.Federation.Overlay = netip.MustParsePrefix("fd66::/48")
	tests := map[string]struct {
		sent   plan.Catalog
		refuse string
	}{
		"the same":                          {sent: local},
		"newer records":                     {sent: catalogOf(2, east.copy().sign(5), west.copy().sign(5), north.copy().sign(5), south.copy().sign(5))},
		"an older archive":                  {sent: catalogOf(2, east, west)},
		"a datacenter that was not seen":    {sent: catalogOf(2, east, west, north, south, newMember(t, "new", 5).sign(1))},
		"one that was installed again":      {sent: catalogOf(2, east, otherCA(west), north, south)},
		"one that signs nonsense":           {sent: catalogOf(2, east, otherEndpoint(west), north, south)},
		"records that are not signed yet":   {sent: catalogOf(2, newMember(t, "plain", 6), newMember(t, "plain2", 7))},
		"another CA for the own datacenter": {sent: catalogOf(2, otherCA(east), west, north, south), refuse: "another CA for the own datacenter east"},
		"most keys replaced":                {sent: catalogOf(2, east, otherCA(west), otherCA(north), otherCA(south)), refuse: "3 of 4 datacenters"},
		"most endpoints replaced":           {sent: catalogOf(2, east, otherEndpoint(west), otherEndpoint(north), otherEndpoint(south)), refuse: "3 of 4 datacenters"},
		"another overlay":                   {sent: otherOverlay, refuse: "its overlay is fd66::/48"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkSnapshot("east", ledger, local, test.sent)
			if test.refuse == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.refuse)
		})
	}
	applied := catalogOf(2, east, otherCA(west), otherCA(north), otherCA(south))
	assert.NoError(t, checkSnapshot("east", ledger, applied, applied), "what came through the log does not keep a member behind")
}
