//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	agenthost "github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/pathmtu"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// The hosts of the datacenter east, which share no link.
const (
	farGateway = "192.0.2.1"
	farNode    = "198.51.100.1"
)

// TestNodeProbesAGatewayThroughTheTunnelWhicheverOfThemHasNoIPv6 connects a node and a
// gateway, which a router separates.
func TestNodeProbesAGatewayThroughTheTunnelWhicheverOfThemHasNoIPv6(t *testing.T) {
	for _, c := range []struct {
		overlay string
		without []string // IPv6
	}{
		{"fd77::/48", nil},
		{"fd77::/48", []string{"node"}},
		{"100.77.0.0/24", nil},
		{"100.77.0.0/24", []string{"gateway"}},
		{"100.77.0.0/24", []string{"node"}},
		{"100.77.0.0/24", []string{"gateway", "node"}},
	} {
		t.Run(fmt.Sprintf("overlay %s, without IPv6 %v", c.overlay, c.without), func(t *testing.T) {
			p := newNodeAndGateway(t, netip.MustParsePrefix(c.overlay), c.without)
			p.gateway.apply(t, p.gatewayPlan(t))
			p.node.apply(t, p.nodePlan(t))
			prober := p.probe(t)
			awaitAnswer(t, prober, true)
			p.gateway.cut(t)
			awaitAnswer(t, prober, false)
		})
	}
}

// TestNodeFindsTheMTUOfItsPathToAGateway narrows the path behind the links of both hosts,
// without an ICMP error in the direction of the node: a veth device drops what is larger
// than the MTU of its peer.
func TestNodeFindsTheMTUOfItsPathToAGateway(t *testing.T) {
	p := newNodeAndGateway(t, netip.MustParsePrefix("fd77::/48"), nil)
	p.gateway.apply(t, p.gatewayPlan(t))
	p.node.apply(t, p.nodePlan(t))
	awaitAnswer(t, p.probe(t), true)
	require.NoError(t, p.router.SetMTU("gateway", 1400))
	d, _ := p.nodeDesired(t)
	mtu := pathmtu.New(liveness.UDP{}, slog.New(slog.DiscardHandler))
	mtu.Set(d.TunnelSessions())
	p.onNode(t, mtu.Run)
	eventually(t, timeout/4, "the path MTU is found", func(context.Context) error {
		if size := mtu.Found()["east/a"]; size == 0 || size > 1360 {
			return fmt.Errorf("it is %d", size)
		}
		return nil
	})
	p.pathMTUs = mtu.Found()
	narrow := p.nodePlan(t)
	p.node.makeRoutes(t, narrow)
	out, err := p.node.Exec(t.Context(), "ip", "route", "show", "table", "7117", "10.2.0.0/16")
	require.NoError(t, err)
	assert.Contains(t, out, fmt.Sprintf("mtu %d", routes.RouteMTU(p.pathMTUs["east/a"])))
}

// nodeAndGateway is a datacenter with a gateway and a node.
type nodeAndGateway struct {
	overlay       netip.Prefix
	gateway, node *tunnelHost
	router        *harness.Host
	pathMTUs      map[catalog.GatewayID]int // that the node has found
}

// tunnelHost is a host with tunnels of the userspace data plane.
type tunnelHost struct {
	*harness.Host
	key     tunnel.PrivateKey
	tunnels tunnel.Device
}

// planned is the part of a plan that a test applies.
type planned struct {
	tunnels  []tunnel.Config
	routes   routes.Config
	firewall routes.Firewall
	sessions []plan.SessionConfig
}

func newNodeAndGateway(t *testing.T, overlay netip.Prefix, withoutIPv6 []string) *nodeAndGateway {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	host := func(name string) *harness.Host {
		h, hostErr := lab.Host(t.Context(), name)
		require.NoError(t, hostErr)
		return h
	}
	p := &nodeAndGateway{overlay: overlay, gateway: &tunnelHost{Host: host("gateway")}, node: &tunnelHost{Host: host("node")}}
	router := host("router")
	p.router = router
	require.NoError(t, router.Forward())
	for i, h := range []*tunnelHost{p.gateway, p.node} {
		h.key = tunneltest.Key(byte(i + 1))
		h.tunnels = device.New(device.Config{Prefix: "mesh", Backend: absent{}})
		address := netip.MustParseAddr([]string{farGateway, farNode}[i])
		end := func(h *harness.Host, a netip.Addr) harness.End {
			return harness.End{Host: h, Addresses: []netip.Prefix{netip.PrefixFrom(a, 24)}}
		}
		require.NoError(t, lab.Link(end(router, address.Next()), end(h.Host, address), 1500))
		run(t, h.Host, "ip route add default via "+address.Next().String())
	}
	for _, name := range withoutIPv6 {
		h := map[string]*tunnelHost{"gateway": p.gateway, "node": p.node}[name]
		for _, devices := range []string{"default", "all"} {
			require.NoError(t, h.Sysctl("net/ipv6/conf/"+devices+"/disable_ipv6", "1"))
		}
	}
	return p
}

// members are the datacenters, as a catalog and an inventory have them.
func (p *nodeAndGateway) members() []catalog.Datacenter { return testCatalog().Datacenters }

func (p *nodeAndGateway) observe(t *testing.T, h *tunnelHost) (observed plan.Host) {
	t.Helper()
	require.NoError(t, h.Do(func() (err error) {
		own := func() []catalog.Prefix { return p.members()[0].Prefixes }
		observed, err = agenthost.Host{TunnelPrefix: "mesh", Prefixes: own}.Observe(t.Context())
		return err
	}))
	return observed
}

func (p *nodeAndGateway) gatewayPlan(t *testing.T) planned {
	t.Helper()
	in := plan.Inputs{
		Self: "east/a", Config: configOf("east"), Host: p.observe(t, p.gateway), Now: time.Now(),
		Synced: plan.Synced{Catalog: true, Host: true},
		Catalog: plan.Catalog{
			Federation:  catalog.Federation{ID: "f", Name: "testbed", Overlay: p.overlay},
			Datacenters: p.members(),
			Gateways:    []catalog.Gateway{{Datacenter: "east", Name: "a", PublicKey: catalog.Key(p.gateway.key.Public()), Overlay: p.overlay.Addr().Next()}},
		},
	}
	in.Site.Nodes.Peers = []plan.NodePeer{{
		Name: "node", PublicKey: p.node.key.Public(), Port: in.Config.WireGuard.Port, Addresses: []netip.Addr{addr(farNode)},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24")},
	}}
	d, _ := gatewayplan.Compute(in)
	return planned{d.Tunnels, d.Routes, d.Firewall, d.Sessions}
}

func (p *nodeAndGateway) nodePlan(t *testing.T) planned {
	t.Helper()
	d, _ := p.nodeDesired(t)
	return planned{d.Tunnels, d.Routes, d.Firewall, d.Sessions}
}

func (p *nodeAndGateway) nodeDesired(t *testing.T) (plan.NodeDesired, []plan.Problem) {
	t.Helper()
	in := plan.NodeInputs{Config: configOf("east"), PublicKey: p.node.key.Public(), Host: p.observe(t, p.node), Synced: true, Now: time.Now()}
	in.Inventory.Overlay = p.overlay
	for _, dc := range p.members() {
		in.Inventory.Members = append(in.Inventory.Members, plan.Member{Name: dc.Name, Ordinal: dc.Ordinal, Prefixes: dc.Prefixes, Through: []string{"a"}})
	}
	in.Inventory.Gateways = []plan.OwnGateway{{
		Name: "a", Addresses: []netip.Addr{addr(farGateway)}, PublicKey: p.gateway.key.Public(), Port: plan.NodePort(in.Config),
	}}
	in.Observed.PathMTUs = p.pathMTUs
	return nodeplan.Compute(in)
}

// apply starts the data plane and makes the host as planned.
func (h *tunnelHost) apply(t *testing.T, d planned) {
	t.Helper()
	for _, lane := range d.tunnels {
		_, err := h.Start("wireguard-"+lane.Name, binaries.Meshd, "wireguard", "--interface", lane.Name)
		require.NoError(t, err)
	}
	eventually(t, timeout, "the data plane has the tunnels", func(ctx context.Context) error {
		return h.Do(func() error {
			_, err := tunnel.Apply(ctx, h.tunnels, h.key, d.tunnels, true)
			return err
		})
	})
	h.makeRoutes(t, d)
}

// makeRoutes makes the routes and the firewall of the host as planned.
func (h *tunnelHost) makeRoutes(t *testing.T, d planned) {
	t.Helper()
	require.NoError(t, h.Do(func() error {
		if err := nft.New().Apply(t.Context(), d.firewall); err != nil {
			return err
		}
		applier := routes.Applier{Kernel: kernel.New(kernel.Options{})}
		_, err := applier.Apply(t.Context(), d.routes, true)
		return err
	}))
}

// cut drops all packets that arrive on the host.
func (h *tunnelHost) cut(t *testing.T) {
	t.Helper()
	run(t, h.Host, "nft add table inet cut", "nft add chain inet cut in { type filter hook prerouting priority -500; policy drop; }")
}

// probe returns a prober that runs on the node until the test ends.
func (p *nodeAndGateway) probe(t *testing.T) *liveness.Prober {
	t.Helper()
	prober := liveness.NewProber(liveness.Config{Network: liveness.UDP{}, Interval: 100 * time.Millisecond, Multiplier: 5})
	prober.Set(p.nodePlan(t).sessions)
	p.onNode(t, prober.Run)
	return prober
}

// onNode runs a prober on the node until the test ends.
func (p *nodeAndGateway) onNode(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.node.Do(func() error { return run(ctx) }) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func awaitAnswer(t *testing.T, prober *liveness.Prober, up bool) {
	t.Helper()
	eventually(t, timeout/4, fmt.Sprintf("the gateway answers the node: %t", up), func(context.Context) error {
		sessions := prober.Sessions()
		if len(sessions) != 1 || sessions[0].Up != up {
			return fmt.Errorf("the sessions are %+v", sessions)
		}
		return nil
	})
}
