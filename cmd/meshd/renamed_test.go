package main

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
)

func TestRenamedHostKeepsTheNameThatItsGatewayHasAsAMember(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "meshway")
	var name hostName
	assert.Empty(t, name.gateway(dir, "new"), "no member")
	store, err := identity.Open(dir)
	require.NoError(t, err)
	require.NoError(t, store.SaveMembership(identity.Membership{
		FederationID: "123e4567-e89b-12d3-a456-426614174000", FederationName: "demo", Datacenter: "east", Gateway: "old",
		Overlay: netip.MustParsePrefix("fd12:3456:789a::/48"), OverlayAddress: netip.MustParseAddr("fd12:3456:789a:1::1"),
	}))
	store.Close()
	assert.Equal(t, "old", name.gateway(dir, "old"))
	assert.Empty(t, name.problems())
	assert.Equal(t, "old", name.gateway(dir, "new"))
	require.Len(t, name.problems(), 1)
	assert.Equal(t, `gateway old is named after its host, which is now called "new"; it keeps its name`, name.problems()[0].Message)
	assert.Contains(t, name.problems()[0].Remedy, `write "gateway: old" in the configuration`)
}
