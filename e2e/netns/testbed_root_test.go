//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	agenthost "github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// The addresses of the testbed.
const (
	lanA, lanB, lanNode = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	lanWest             = "192.0.2.4" // if the lanes are WireGuard interfaces

	clientPod     = "10.2.1.10"
	podOnNode     = "10.1.3.10"
	podOnA        = "10.1.1.10"
	serviceOnNode = "10.101.0.1"
	serviceOnA    = "10.101.0.2"
)

// testbed is the datacenter east with the gateways a and b, and the datacenter
// west with the gateway w:
//
//	                      ┌─ mesh0 ─ a ─┬─ pod-a 10.1.1.10
//	client ── west (w) ───┤             lan ── node ── pod-node 10.1.3.10
//	10.2.1.10             └─ mesh1 ─ b ─┘
//
// The hosts of east have the packet rules of kube-proxy and a CNI plugin:
// service addresses are translated, packets that are invalid to connection
// tracking are dropped, and sources are masqueraded towards other ranges.
type testbed struct {
	t          *testing.T
	lab        *harness.Lab
	west, a, b *gatewayHost
	lan, node  *harness.Host
	client     *harness.Host // of west
	podA       *harness.Host // behind gateway a
	podNode    *harness.Host // behind node
	running    sync.WaitGroup
	nodeRoutes routes.Applier
	nodeFilter *nft.Filter
}

func newTestbed(t *testing.T) *testbed {
	t.Helper()
	return newTestbedWith(t, func(tb *testbed) {
		tb.linkLane(tb.a, 0)
		tb.linkLane(tb.b, 1)
	})
}

// newTestbedWith returns a testbed whose lanes connectLanes creates.
func newTestbedWith(t *testing.T, connectLanes func(*testbed)) *testbed {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	tb := &testbed{t: t, lab: lab}
	tb.startHosts()
	tb.linkHosts()
	connectLanes(tb)
	for _, h := range []*harness.Host{tb.a.Host, tb.b.Host, tb.node} {
		tb.addClusterRules(h)
	}
	tb.routeNodeVia(tb.a, tb.b)
	t.Cleanup(func() { tb.stop() })
	tb.start()
	for host, address := range map[*harness.Host]string{tb.client: clientPod, tb.podNode: podOnNode, tb.podA: podOnA} {
		_, err := host.Serve(t.Context(), harness.ServerPort, addr(address))
		require.NoError(t, err)
	}
	return tb
}

func (tb *testbed) startHosts() {
	hosts := map[string]*harness.Host{}
	for _, name := range []string{"w", "a", "b", "node", "lan", "client", "pod-a", "pod-node"} {
		host, err := tb.lab.Host(tb.t.Context(), name)
		require.NoError(tb.t, err)
		hosts[name] = host
	}
	tb.west = tb.gateway(hosts["w"], "west")
	tb.a, tb.b = tb.gateway(hosts["a"], "east"), tb.gateway(hosts["b"], "east")
	tb.lan, tb.node, tb.client, tb.podA, tb.podNode = hosts["lan"], hosts["node"], hosts["client"], hosts["pod-a"], hosts["pod-node"]

	run(tb.t, hosts["lan"], "ip link add br0 type bridge", "ip link set br0 up")
	for name, address := range map[string]string{"a": lanA, "b": lanB, "node": lanNode} {
		tb.joinLAN(hosts[name], address)
	}
}

// joinLAN connects a host to the link of the hosts of east.
func (tb *testbed) joinLAN(h *harness.Host, address string) {
	tb.link(tb.lan, "", h, address+"/24")
	run(tb.t, tb.lan, "ip link set dev "+h.Name()+" master br0")
}

func (tb *testbed) linkHosts() {
	tb.link(tb.west.Host, "10.2.1.1/24", tb.client, clientPod+"/24")
	tb.link(tb.a.Host, "10.1.1.1/24", tb.podA, podOnA+"/24")
	tb.link(tb.node, "10.1.3.1/24", tb.podNode, podOnNode+"/24")
	for host, gateway := range map[*harness.Host]string{tb.client: "10.2.1.1", tb.podA: "10.1.1.1", tb.podNode: "10.1.3.1"} {
		run(tb.t, host, "ip route add default via "+gateway)
	}
	run(tb.t, tb.a.Host, "ip route add 10.1.3.0/24 via "+lanNode)
	run(tb.t, tb.b.Host, "ip route add 10.1.3.0/24 via "+lanNode, "ip route add 10.1.1.0/24 via "+lanA)
	run(tb.t, tb.node, "ip route add 10.1.1.0/24 via "+lanA)
}

func (tb *testbed) link(a *harness.Host, addressA string, b *harness.Host, addressB string) {
	end := func(host *harness.Host, address string) harness.End {
		e := harness.End{Host: host}
		if address != "" {
			e.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
		}
		return e
	}
	require.NoError(tb.t, tb.lab.Link(end(a, addressA), end(b, addressB), 1500))
}

// linkLane connects a gateway of east to that of west with a link that behaves
// like a WireGuard interface: without ARP, each end accepts every packet. The
// addresses are those of the planned interface.
func (tb *testbed) linkLane(g *gatewayHost, index int) {
	tb.link(tb.west.Host, "", g.Host, "")
	for _, end := range []struct {
		*gatewayHost
		device, name string
	}{{tb.west, g.Name(), fmt.Sprintf("mesh%d", index)}, {g, tb.west.Name(), "mesh0"}} {
		run(tb.t, end.Host,
			"ip link set dev "+end.device+" down",
			"ip link set dev "+end.device+" name "+end.name+" address 02:00:00:00:00:07 arp off",
			"ip link set dev "+end.name+" alias "+tunnel.Alias)
		for _, address := range end.laneAddresses(tb.t, end.name) {
			run(tb.t, end.Host, "ip address add "+address.String()+" dev "+end.name)
		}
		run(tb.t, end.Host, "ip link set dev "+end.name+" up")
	}
}

// addClusterRules adds the packet rules of the other programs of a Kubernetes
// node, and counters for the tests.
func (tb *testbed) addClusterRules(h *harness.Host) {
	require.NoError(tb.t, h.Forward())
	_, err := h.ExecInput(tb.t.Context(), `table inet cluster {
	counter from-west { }
	counter to-west { }
	chain count {
		type filter hook prerouting priority -310
		iifname mesh0 meta l4proto { tcp, udp } th dport 8080 counter name from-west
		ip daddr 10.2.0.0/16 counter name to-west
	}
	chain services {
		type nat hook prerouting priority dstnat
		ip daddr `+serviceOnNode+` dnat ip to `+podOnNode+`
		ip daddr `+serviceOnA+` dnat ip to `+podOnA+`
	}
	chain forward {
		type filter hook forward priority filter
		ct state invalid counter drop
	}
	chain masquerading {
		type nat hook postrouting priority srcnat
		ip saddr 10.1.0.0/16 ip daddr != 10.1.0.0/16 masquerade
	}
}
`, "nft", "-f", "-")
	require.NoError(tb.t, err)
}

// routeNodeVia makes the node route packets for west to these gateways.
func (tb *testbed) routeNodeVia(gateways ...*gatewayHost) {
	tb.t.Helper()
	in := plan.NodeInputs{Config: configOf("east"), Synced: true}
	var names []string
	for _, g := range gateways {
		names = append(names, g.Name())
	}
	c := testCatalog()
	in.Inventory.Overlay = c.Federation.Overlay
	for _, dc := range c.Datacenters {
		in.Inventory.Members = append(in.Inventory.Members, plan.Member{
			Name:     dc.Name,
			Ordinal:  dc.Ordinal,
			Prefixes: dc.Prefixes,
			Through:  names,
		})
	}
	in.Inventory.Gateways = []plan.OwnGateway{
		{Name: "a", Index: 0, Addresses: []netip.Addr{addr(lanA)}},
		{Name: "b", Index: 1, Addresses: []netip.Addr{addr(lanB)}},
	}
	if tb.nodeFilter == nil {
		tb.nodeFilter, tb.nodeRoutes.Kernel = nft.New(), kernel.New(kernel.Options{})
	}
	require.NoError(tb.t, tb.node.Do(func() error {
		var err error
		if in.Host, err = observe(tb.t.Context()); err != nil {
			return err
		}
		d, _ := nodeplan.Compute(in)
		if err := tb.nodeFilter.Apply(tb.t.Context(), d.Firewall); err != nil {
			return err
		}
		_, err = tb.nodeRoutes.Apply(tb.t.Context(), d.Routes, true)
		return err
	}))
}

// observe reads the state of the host on which it is called.
func observe(ctx context.Context) (plan.Host, error) {
	own := func() []catalog.Prefix { return testCatalog().Datacenters[0].Prefixes }
	return agenthost.Host{TunnelPrefix: "mesh", Prefixes: own}.Observe(ctx)
}

func (tb *testbed) gateway(host *harness.Host, dc catalog.DatacenterName) *gatewayHost {
	id := catalog.NewGatewayID(dc, host.Name())
	return &gatewayHost{
		Host: host,
		inputs: plan.Inputs{
			Self:    id,
			Config:  configOf(dc),
			Catalog: testCatalog(),
			Synced:  plan.Synced{Catalog: true, Host: true},
		},
		applier:  routes.Applier{Kernel: kernel.New(kernel.Options{})},
		firewall: nft.New(),
	}
}

// start runs the gateways and waits until their sessions are up.
func (tb *testbed) start() {
	tb.t.Helper()
	for _, g := range []*gatewayHost{tb.west, tb.a, tb.b} {
		require.NoError(tb.t, g.Do(func() (err error) {
			g.inputs.Host, err = observe(tb.t.Context())
			return err
		}))
		g.inputs.Endpoints = map[catalog.GatewayID][]netip.AddrPort{
			"east/a": {netip.AddrPortFrom(addr(lanA), 51820)}, "east/b": {netip.AddrPortFrom(addr(lanB), 51820)},
			"west/w": {netip.AddrPortFrom(addr(lanWest), 51820)},
		}
		g.lastPass.Store(nil)
		g.monitor = liveness.New(liveness.Config{Network: liveness.UDP{}})
		ctx, cancel := context.WithCancel(tb.t.Context())
		g.kill = cancel
		tb.running.Go(func() { g.run(ctx) })
	}
	up := func(ids ...catalog.GatewayID) (want []plan.Session) {
		for _, id := range ids {
			want = append(want, plan.Session{Gateway: id, Up: true})
		}
		return want
	}
	tb.awaitSessions(tb.west, up("east/a", "east/b")...)
	tb.awaitSessions(tb.a, up("west/w")...)
	tb.awaitSessions(tb.b, up("west/w")...)
}

func (tb *testbed) stop() {
	for _, g := range []*gatewayHost{tb.west, tb.a, tb.b} {
		g.kill()
	}
	tb.running.Wait()
}

// cutLane drops all packets between a gateway of east and west, and waits
// until the gateway's session is down.
func (tb *testbed) cutLane(g *gatewayHost) {
	tb.t.Helper()
	tb.drop(g, `iifname "mesh0" drop`, `oifname "mesh0" drop`)
	tb.awaitSessions(g, plan.Session{Gateway: "west/w"})
}

// isolate drops all packets that a gateway sends or receives.
func (tb *testbed) isolate(g *gatewayHost) {
	tb.t.Helper()
	tb.drop(g, "drop", "drop")
}

func (tb *testbed) drop(g *gatewayHost, in, out string) {
	_, err := g.ExecInput(tb.t.Context(), `table inet cut {
	chain in { type filter hook prerouting priority -500; `+in+`; }
	chain out { type filter hook postrouting priority 500; `+out+`; }
}
`, "nft", "-f", "-")
	require.NoError(tb.t, err)
}

func configOf(dc catalog.DatacenterName) config.Config {
	return config.Config{
		Datacenter: dc,
		WireGuard:  config.WireGuard{Interface: "mesh", Port: 51820},
		Routing:    config.Routing{Table: routes.DefaultTable, RulePriority: routes.DefaultRulePriority, Mark: routes.DefaultMark, Confine: true},
		Liveness:   config.Liveness{Interval: 100 * time.Millisecond, Multiplier: 4, Port: 3784},
	}
}

func overlayAddresses() map[catalog.GatewayID]string {
	return map[catalog.GatewayID]string{"west/w": "fd77::1", "east/a": "fd77::2", "east/b": "fd77::3"}
}

// testCatalog returns the catalog of the testbed.
func testCatalog() plan.Catalog {
	prefix := func(p string, kind catalog.PrefixKind) catalog.Prefix {
		return catalog.Prefix{CIDR: netip.MustParsePrefix(p), Kind: kind}
	}
	c := plan.Catalog{
		Federation: catalog.Federation{ID: "f", Name: "testbed", Overlay: netip.MustParsePrefix("fd77::/48")},
		Datacenters: []catalog.Datacenter{
			{
				Name:    "east",
				Ordinal: 1,
				Prefixes: []catalog.Prefix{
					prefix("10.1.0.0/16", catalog.PodPrefix),
					prefix("10.101.0.0/16", catalog.ServicePrefix),
				},
			},
			{
				Name:     "west",
				Ordinal:  2,
				Prefixes: []catalog.Prefix{prefix("10.2.0.0/16", catalog.PodPrefix)},
			},
		},
	}
	for _, g := range []catalog.Gateway{
		{Datacenter: "west", Name: "w"},
		{Datacenter: "east", Name: "a"},
		{Datacenter: "east", Name: "b", Index: 1},
	} {
		g.PublicKey, g.Overlay = catalog.Key(keyOf(g.ID()).Public()), addr(overlayAddresses()[g.ID()])
		c.Gateways = append(c.Gateways, g)
	}
	return c
}

// keyOf returns the WireGuard key of a gateway.
func keyOf(id catalog.GatewayID) tunnel.PrivateKey {
	number := addr(overlayAddresses()[id]).As16()[15]
	return tunneltest.Key(number)
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
