package meshnode

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/tunnel"
)

func addressesOf(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func TestAddressesThatAnotherNodeHasTooAreContested(t *testing.T) {
	nodes := []kube.Node{
		{Name: "east-1", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")}, Addresses: addressesOf("192.0.2.1", "fd00::1")},
		{Name: "east-2", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}, Addresses: addressesOf("10.1.1.7", "10.1.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2")},
		{Name: "east-3", Addresses: addressesOf("192.0.2.3")},
	}
	c := claimsOf(nodes, true)
	assert.Equal(t, addressesOf("192.0.2.1"), c.contested(nodes[0]))
	assert.Equal(t, addressesOf("10.1.1.7", "192.0.2.1"), c.contested(nodes[1]), "a pod of another node, and the address of another node")
	assert.Empty(t, c.contested(nodes[2]))
	assert.Equal(t, addressesOf("192.0.2.1"), claimsOf(nodes, false).contested(nodes[1]), "the kubelet of another node states its range")
}

// rivals is a cluster whose second node states the address of the first one.
type rivals struct{ cluster }

func (*rivals) Nodes() []kube.Node {
	return []kube.Node{
		{Name: "east-1", Addresses: addressesOf("192.0.2.1")},
		{Name: "east-2", Addresses: addressesOf("192.0.2.1", "192.0.2.2")},
		{Name: "east-2-before", Addresses: addressesOf("192.0.2.2")}, // it has no agent
	}
}

func TestSiteHasTheContestedAddressesOfBothNodes(t *testing.T) {
	s, err := NewSite(SiteConfig{Client: newClient(), Cluster: &rivals{}, Node: "east-3", Gateway: "east-3", Dir: t.TempDir()})
	require.NoError(t, err)
	spec := Spec{PublicKey: tunnel.PublicKey{1}.String(), Port: 51820, Tunnels: []string{"east-3"}}
	peers := s.withPeers(map[string]Spec{"east-1": spec, "east-2": spec}, nil).Nodes.Peers
	require.Len(t, peers, 2)
	assert.Equal(t, addressesOf("192.0.2.1"), peers[0].Contested)
	assert.Equal(t, addressesOf("192.0.2.1"), peers[1].Contested)
	assert.Equal(t, addressesOf("192.0.2.1", "192.0.2.2"), peers[1].Addresses, "candidates for its endpoint")
}
