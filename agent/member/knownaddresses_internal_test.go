package member

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestAddressesOfGatewaysAreKnownUntilTheCatalogChanges(t *testing.T) {
	c := mcstest.NewCatalog(t, "east", "west")
	known := &knownAddresses{view: c.View}
	advertised, moved := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::7")
	assert.True(t, known.contains(advertised))
	assert.False(t, known.contains(moved))

	g, _ := c.View().Gateway("west/gw0")
	g.Endpoints = []string{"gateway.example.org:51820", "[2001:db8::7]:51820"}
	_, err := c.At("west").Propose(t.Context(), catalog.NewUpdateGateway(g))
	assert.NoError(t, err)
	assert.True(t, known.contains(moved), "the set follows the catalog")
	assert.True(t, known.contains(advertised), "east advertises it as well")
}

func TestPrefixesOfMembersOverlap(t *testing.T) {
	view := mcstest.NewCatalog(t, "east", "west").View() // 10.1.0.0/16, fd00:1::/64 and 10.2.0.0/16, fd00:2::/64
	for cidr, want := range map[string]bool{
		"10.1.0.0/17": true, "10.0.0.0/8": true, "fd00:2::/48": true, "10.3.0.0/16": false, "fd00:3::/64": false,
	} {
		got := overlapsMember(view, []catalog.Prefix{{CIDR: netip.MustParsePrefix("192.168.0.0/24")}, {CIDR: netip.MustParsePrefix(cidr)}})
		assert.Equal(t, want, got, cidr)
	}
}
