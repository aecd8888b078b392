package allowlist_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

func TestRemovalOfARangeThatIsNotAllowedNamesTheDatacenterThatAllowsIt(t *testing.T) {
	mine, other := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24")
	settings := catalog.Settings{Allowed: []catalog.AllowedPrefix{{CIDR: other, AllowedBy: "west"}, {CIDR: mine, AllowedBy: "east"}}}
	require.Nil(t, allowlist.CheckRemovable(settings, "east", []netip.Prefix{mine}))
	refusal := allowlist.CheckRemovable(settings, "east", []netip.Prefix{mine, other})
	require.NotNil(t, refusal)
	assert.Equal(t, "removed[1]", refusal.Field)
	assert.Contains(t, refusal.Remedy, "datacenter west")
	refusal = allowlist.CheckRemovable(settings, "east", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	require.NotNil(t, refusal)
	assert.Contains(t, refusal.Remedy, "meshctl federation allow")
}
