package plan_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/tunnel"
)

// withNodes is the running federation with two nodes that share no link with
// this gateway.
func withNodes() plan.Inputs {
	in := running()
	in.Site.Nodes.Peers = []plan.NodePeer{
		{
			Name: "n2", PublicKey: tunnel.PublicKey{22}, Port: 51820,
			Addresses: addresses("198.51.100.2", "2001:db8:9::2"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")},
		},
		{
			Name: "n1", PublicKey: tunnel.PublicKey{21}, Port: 51820,
			Addresses: addresses("198.51.100.1"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")},
		},
	}
	return in
}

func TestGatewayPlanWithNodesMatchesGolden(t *testing.T) {
	in := withNodes()
	in.Site.Nodes.Peers = append(in.Site.Nodes.Peers,
		plan.NodePeer{Name: "n3", PublicKey: tunnel.PublicKey{21}, Port: 51820, Addresses: addresses("198.51.100.3")},
		plan.NodePeer{Name: "n4", Port: 51820, Addresses: addresses("198.51.100.4")},
		plan.NodePeer{Name: "n5", PublicKey: tunnel.PublicKey{25}, Port: 51820},
		plan.NodePeer{Name: "n6", PublicKey: tunnel.PublicKey{26}, Addresses: addresses("198.51.100.6")})
	d, problems := gatewayplan.Compute(in)
	golden(t, "nodes", d.String()+problemText(problems))
}

func TestWithoutNodePeersThereIsNoLaneToNodes(t *testing.T) {
	in := running()
	d, _ := gatewayplan.Compute(in)
	assert.NotContains(t, d.String(), "mesh63")
	assert.NotContains(t, d.String(), "7118")
}

func TestTransitOfAGatewayWithSiblingsIncludesTheLaneToNodes(t *testing.T) {
	in := sharing()
	in.Site.Nodes = withNodes().Site.Nodes
	d, _ := gatewayplan.Compute(in)
	assert.Contains(t, d.Firewall.Transit.Devices, "mesh63")
	d, _ = gatewayplan.Compute(withNodes())
	assert.Empty(t, d.Firewall.Transit.Devices, "a single gateway sees both directions")
}

func TestNothingIsPrunedWhileTheNodesAreIncomplete(t *testing.T) {
	in := running()
	in.Site.Nodes.Pending = true
	d, _ := gatewayplan.Compute(in)
	assert.False(t, d.Prune)
}

func TestNodeMaySendFromItsOwnAddressesOnly(t *testing.T) {
	d, _ := gatewayplan.Compute(withNodes())
	lane := d.Tunnels[len(d.Tunnels)-1]
	seen := map[netip.Prefix]bool{}
	for _, p := range lane.Peers {
		for _, a := range p.AllowedIPs {
			assert.False(t, seen[a], "%s has two owners", a)
			seen[a] = true
		}
	}
	assert.Len(t, seen, 2+3+2*2, "pod ranges, node addresses, and the nodes' ends of both tunnels in both families")
}

// The kubelet of a node writes the addresses of its Node.
func TestNodeReceivesNoPacketsForAnAddressThatAnotherHasToo(t *testing.T) {
	in := withNodes()
	own, foreign := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.7")
	in.Site.Nodes.Peers[1].Addresses = []netip.Addr{own, foreign}
	in.Site.Nodes.Peers[1].Contested = []netip.Addr{foreign}
	d, problems := gatewayplan.Compute(in)
	assert.Contains(t, problemText(problems), "node-addresses-contested")
	peers := d.Tunnels[len(d.Tunnels)-1].Peers
	assert.Contains(t, peers[0].AllowedIPs, prefixset.Host(own))
	for _, p := range peers {
		assert.NotContains(t, p.AllowedIPs, prefixset.Host(foreign))
	}
	for _, r := range d.Routes.Routes {
		assert.NotEqual(t, prefixset.Host(foreign), r.Prefix)
	}
	for _, lane := range d.Firewall.Lanes {
		assert.NotContains(t, lane.Sources, prefixset.Host(foreign))
	}

	in.Site.Nodes.Peers[1].Contested = []netip.Addr{own, foreign}
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, own, d.Tunnels[len(d.Tunnels)-1].Peers[0].Endpoint.Addr(), "the handshake proves the key of the node")
}

func TestWorkingEndpointOfANodeIsKept(t *testing.T) {
	in := withNodes()
	d, _ := gatewayplan.Compute(in)
	in.Observed.Tunnels = applied(d)
	roamed := netip.MustParseAddrPort("203.0.113.9:1234")
	last := &in.Observed.Tunnels[len(in.Observed.Tunnels)-1]
	for i := range last.Peers {
		last.Peers[i].Endpoint, last.Peers[i].LastHandshake = roamed, now
	}
	d, _ = gatewayplan.Compute(in)
	for _, p := range d.Tunnels[len(d.Tunnels)-1].Peers {
		assert.Zero(t, p.Endpoint, "as it is")
	}
}
