package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// nodeInputs is a node of east that shares a link with both gateways.
func nodeInputs() plan.NodeInputs {
	member := func(dc catalog.Datacenter, through ...string) plan.Member {
		return plan.Member{Name: dc.Name, Ordinal: dc.Ordinal, Prefixes: dc.Prefixes, Through: through}
	}
	return plan.NodeInputs{
		Config: settings(),
		Host: plan.Host{
			Addresses: addresses("192.0.2.9", "2001:db8::9", "10.1.9.1"),
			Links: []plan.Link{
				{Device: "cni0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.9.0/24")}},
				{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}},
			},
		},
		Inventory: plan.Inventory{
			Overlay: netip.MustParsePrefix("fd77::/48"),
			Members: []plan.Member{
				member(datacenter("east", 1, "10.1.0.0/16", "10.101.0.0/16")),
				member(datacenter("north", 2, "10.2.0.0/16", "2001:db8:2::/64"), "a", "b"),
				member(datacenter("west", 3, "10.3.0.0/16", "10.103.0.0/16"), "b"),
			},
			Gateways: []plan.OwnGateway{
				{Name: "a", Index: 0, Addresses: addresses("192.0.2.1", "2001:db8::1")},
				{Name: "b", Index: 1, Addresses: addresses("192.0.2.2")},
			},
		},
		PublicKey: tunnel.PublicKey{9},
		Synced:    true,
		Now:       now,
	}
}

// apart moves both gateways to other links, with tunnels to nodes.
func apart(in *plan.NodeInputs) {
	in.Inventory.Gateways = []plan.OwnGateway{
		{Name: "a", Index: 0, Addresses: addresses("198.51.100.1", "2001:db8:9::1"), PublicKey: tunnel.PublicKey{1}, Port: 51883},
		{Name: "b", Index: 1, Addresses: addresses("198.51.100.2"), PublicKey: tunnel.PublicKey{2}, Port: 51883},
	}
}

// setSessions adds the sessions of gateways; answers is true for those that are up.
func setSessions(in *plan.NodeInputs, answers map[catalog.GatewayID]bool) {
	for id, up := range answers {
		in.Observed.Sessions = append(in.Observed.Sessions, plan.Session{Gateway: id, Up: up, Since: now})
	}
}

func nodeCases() map[string]func(*plan.NodeInputs) {
	return map[string]func(*plan.NodeInputs){
		"running":    func(*plan.NodeInputs) {},
		"not-synced": func(in *plan.NodeInputs) { in.Synced = false },
		"left":       func(in *plan.NodeInputs) { in.Inventory = plan.Inventory{} },
		"starting":   func(in *plan.NodeInputs) { in.Inventory, in.Synced = plan.Inventory{}, false },
		"unknown":    func(in *plan.NodeInputs) { in.Inventory.Members = in.Inventory.Members[1:] },
		"nothing-reached": func(in *plan.NodeInputs) {
			in.Inventory.Members[1].Through, in.Inventory.Members[2].Through = nil, nil
		},
		"gateway-elsewhere": func(in *plan.NodeInputs) { in.Inventory.Gateways[1].Addresses = addresses("198.51.100.2") },
		"gateways-apart":    apart,
		"overlays": func(in *plan.NodeInputs) {
			in.Inventory.Gateways[1].Addresses = addresses("198.51.100.2")
			in.Inventory.Gateways[1].PublicKey, in.Inventory.Gateways[1].Port = tunnel.PublicKey{2}, 51883
			in.Host.Underlay, in.Host.Overlays = []string{"eth0"}, []string{"flannel.1", "tunl0"}
		},
		"one-apart": func(in *plan.NodeInputs) {
			near := in.Inventory.Gateways[0]
			apart(in)
			in.Inventory.Gateways[0] = near
			setSessions(in, map[catalog.GatewayID]bool{"east/a": true, "east/b": true})
		},
		"gateway-silent": func(in *plan.NodeInputs) {
			setSessions(in, map[catalog.GatewayID]bool{"east/a": true, "east/b": false})
		},
		"all-silent": func(in *plan.NodeInputs) {
			setSessions(in, map[catalog.GatewayID]bool{"east/a": false, "east/b": false})
		},
		"no-gateway":    func(in *plan.NodeInputs) { in.Inventory.Gateways = nil },
		"was-a-gateway": func(in *plan.NodeInputs) { in.Host.Addresses = addresses("192.0.2.2") },
		"bad-records": func(in *plan.NodeInputs) {
			in.Inventory.Members[2].Prefixes = append(in.Inventory.Members[2].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("10.1.7.0/24")})
			in.Inventory.Gateways = append(in.Inventory.Gateways,
				plan.OwnGateway{Name: "c", Index: 1, Addresses: addresses("192.0.2.3")}, plan.OwnGateway{Name: "d", Index: 1000, Addresses: addresses("192.0.2.4")})
		},
	}
}

func TestNodePlanMatchesGoldens(t *testing.T) {
	for name, change := range nodeCases() {
		t.Run(name, func(t *testing.T) {
			in := nodeInputs()
			change(&in)
			d, problems := nodeplan.Compute(in)
			golden(t, "node-"+name, d.String()+problemText(problems))
		})
	}
}

func TestOrderOfNodeInputsDoesNotMatter(t *testing.T) {
	for name, change := range nodeCases() {
		in := nodeInputs()
		change(&in)
		want, problems := nodeplan.Compute(in)
		for seed := range uint64(20) {
			shuffled := nodeInputs()
			change(&shuffled)
			r := rand.New(rand.NewPCG(seed, 2))
			m, g, l := shuffled.Inventory.Members, shuffled.Inventory.Gateways, shuffled.Host.Links
			r.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
			r.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
			r.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
			before := fmt.Sprintf("%#v", shuffled)
			got, found := nodeplan.Compute(shuffled)
			require.Equal(t, want, got, name)
			require.Equal(t, problems, found, name)
			require.Equal(t, before, fmt.Sprintf("%#v", shuffled), "inputs are not changed")
		}
	}
}

func TestLostGatewayChangesOnlyGroupsOnANode(t *testing.T) {
	before, _ := nodeplan.Compute(nodeInputs())
	in := nodeInputs()
	in.Inventory.Members[1].Through = []string{"b"}
	after, _ := nodeplan.Compute(in)
	assert.Equal(t, before.Routes.Routes, after.Routes.Routes)
	assert.Equal(t, before.Routes.Nexthops, after.Routes.Nexthops)
	assert.Contains(t, after.Routes.Groups, routes.Group{
		ID: routes.GroupID(2, routes.IPv4), Family: routes.IPv4, Members: []uint32{routes.LaneNexthopID(1, routes.IPv4)},
	})
}

func TestGatewayAcceptsPacketsFromSiblings(t *testing.T) {
	in := running()
	in.Host.Links = []plan.Link{{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}
	d, _ := gatewayplan.Compute(in)
	assert.Empty(t, d.Firewall.TrustedDevices, "gateways of other datacenters on the same link are no siblings")
	in.Catalog.Gateways = append(in.Catalog.Gateways, gateway("east", "b", 1, 9))
	in.Endpoints["east/b"] = endpoints("192.0.2.9:51820", "198.51.100.1:51820")
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, []string{"eth0"}, d.Firewall.TrustedDevices)
}

func TestNodeAcceptsPacketsFromGatewaysOnTheDevicesOfItsCNI(t *testing.T) {
	in := nodeInputs()
	in.Host.Overlays = []string{"flannel.1"}
	in.Host.Strict = []string{"cni0", "flannel.1"}
	d, _ := nodeplan.Compute(in)
	assert.Equal(t, []string{"eth0", "flannel.1"}, d.Firewall.TrustedDevices)
	assert.Contains(t, d.Routes.Sysctls, routes.Sysctl{Key: "net/ipv4/conf/flannel.1/rp_filter", Value: "2"},
		"packets to other datacenters take another device")
	for _, device := range []string{"cni0", "eth0"} {
		assert.NotContains(t, d.Routes.Sysctls, routes.Sysctl{Key: "net/ipv4/conf/" + device + "/rp_filter", Value: "2"})
	}
	apart(&in)
	d, _ = nodeplan.Compute(in)
	assert.Equal(t, []string{"flannel.1"}, d.Firewall.TrustedDevices, "the CNI plugin may have pods outside Node.spec.podCIDRs")
	in.Inventory.Gateways = nil
	d, _ = nodeplan.Compute(in)
	assert.Empty(t, d.Firewall.TrustedDevices, "there is no gateway to trust")
}
