package dataplane_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// cluster is the environment of a node: its host and the inventory of its cluster.
type cluster struct {
	inventory plan.Inventory
	next      chan struct{}
}

func (c *cluster) Current() (plan.Inventory, bool) { return c.inventory, true }
func (c *cluster) Changed() <-chan struct{}        { return c.next }

// update changes the inventory while the node is idle.
func (c *cluster) update(change func(*plan.Inventory)) {
	synctest.Wait()
	change(&c.inventory)
	changed := c.next
	c.next = make(chan struct{})
	close(changed)
	synctest.Wait()
}

func (*cluster) Observe(context.Context) (plan.Host, error) {
	return plan.Host{
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.9.1"), netip.MustParseAddr("192.0.2.9")},
		Links:     []plan.Link{{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
	}, nil
}

func (*cluster) LinkMTU(context.Context, []netip.Addr) int { return 0 }

func (*cluster) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

// nodeWorld is a node of east. Gateway a is on its link, gateway b is not.
type nodeWorld struct {
	*cluster
	node    *dataplane.Node
	tunnels *tunneltest.Fake
	kernel  *routestest.Kernel
	network *livenesstest.Network
	pathMTU *pathMTU
}

// pathMTU is that of one gateway.
type pathMTU struct {
	notify.Broadcast
	sessions []plan.SessionConfig
	found    map[catalog.GatewayID]int
}

func (*pathMTU) Run(context.Context) error                  { return nil }
func (p *pathMTU) Set(sessions []plan.SessionConfig, _ int) { p.sessions = sessions }
func (p *pathMTU) Found() map[catalog.GatewayID]int         { return p.found }

var nearGateway = netip.MustParseAddr("192.0.2.1")

func simulateNode(t *testing.T, f func(t *testing.T, w *nodeWorld)) {
	synctest.Test(t, func(t *testing.T) {
		key, err := tunnel.NewPrivateKey()
		require.NoError(t, err)
		w := &nodeWorld{
			cluster: &cluster{next: make(chan struct{}), inventory: plan.Inventory{
				Overlay: netip.MustParsePrefix("fd77::/48"),
				Members: []plan.Member{
					{Name: "east", Ordinal: 1, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}},
					{Name: "west", Ordinal: 2, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.2.0.0/16"), Kind: catalog.PodPrefix}}, Through: []string{"a", "b"}},
				},
				Gateways: []plan.OwnGateway{
					{Name: "a", Index: 0, Addresses: []netip.Addr{nearGateway}},
					{Name: "b", Index: 1, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.2")}, PublicKey: tunnel.PublicKey{2}, Port: 51883},
				},
			}},
			tunnels: tunneltest.NewFake(), kernel: routestest.NewKernel("eth0", "mesh1"), network: livenesstest.New(1), pathMTU: &pathMTU{},
		}
		w.kernel.AddLink("eth0", netip.MustParsePrefix("192.0.2.0/24"))
		w.network.SetHost(nearGateway, true)
		w.node = dataplane.NewNode(dataplane.NodeConfig{
			File: config.Config{
				Datacenter: "east", WireGuard: config.WireGuard{Interface: "mesh", Port: 51820, Keepalive: 25 * time.Second},
				Routing: config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
			},
			Key:      key,
			Kernel:   dataplane.Kernel{Tunnels: w.tunnels, Routes: w.kernel, Firewall: routestest.NewFilter()},
			Liveness: liveness.NewProber(liveness.Config{Network: w.network, Interval: 100 * time.Millisecond, Multiplier: 5}),
			PathMTU:  w.pathMTU, Host: w.cluster, Inventory: w.cluster,
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.node.Run(ctx) }()
		synctest.Wait()
		f(t, w)
		stop()
		require.NoError(t, <-done)
	})
}

// group returns the nexthops to west.
func (w *nodeWorld) group(t *testing.T) []uint32 {
	t.Helper()
	o, err := w.kernel.Observe(t.Context(), 7117)
	require.NoError(t, err)
	for _, g := range o.Groups {
		if g.ID == routes.GroupID(2, routes.IPv4) {
			return g.Members
		}
	}
	return nil
}

func tunnelNames(t *testing.T, w *nodeWorld) []string {
	t.Helper()
	list, err := w.tunnels.List(t.Context())
	require.NoError(t, err)
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

func TestNodeStopsUsingAFailedGatewayWithinASecond(t *testing.T) {
	near, far := routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		time.Sleep(time.Second)
		sessions := map[string]netip.Addr{}
		desired, _ := nodeplan.Compute(plan.NodeInputs{
			Config: config.Config{Datacenter: "east", WireGuard: config.WireGuard{Interface: "mesh"}}, Inventory: w.inventory,
		})
		for _, s := range desired.Sessions {
			sessions[s.Device] = s.Remote
		}
		w.network.SetHost(sessions["mesh1"], true)
		time.Sleep(2 * time.Second)
		assert.Equal(t, []uint32{near, far}, w.group(t))
		w.network.SetHost(nearGateway, false)
		time.Sleep(700 * time.Millisecond)
		assert.Equal(t, []uint32{far}, w.group(t))
		w.network.SetHost(sessions["mesh1"], false)
		time.Sleep(10 * time.Second)
		assert.Equal(t, []uint32{near, far}, w.group(t), "the last nexthops stay")
		w.network.SetHost(nearGateway, true)
		time.Sleep(1500 * time.Millisecond)
		assert.Equal(t, []uint32{near}, w.group(t))
	})
}

func TestNodeTunnelsOnlyToGatewaysOnOtherLinks(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		assert.Contains(t, tunnelNames(t, w), "mesh1")
		assert.NotContains(t, tunnelNames(t, w), "mesh0")
		paths, known := w.node.Paths()
		require.True(t, known)
		assert.Equal(t, []plan.Path{{Gateway: "a", Device: "eth0"}, {Gateway: "b", Device: "mesh1", Tunnel: true}}, paths)
		assert.Len(t, w.node.Status().Tunnels, 1)

		w.update(func(i *plan.Inventory) { i.Gateways = i.Gateways[:1] })
		assert.NotContains(t, tunnelNames(t, w), "mesh1", "removed with the gateway")
		assert.False(t, strings.Contains(w.kernel.String(), "mesh1 protocol"), w.kernel.String())
	})
}

// TestRoutesOfANodeHaveTheMTUOfItsNarrowestTunnel: each packet may take any gateway.
func TestRoutesOfANodeHaveTheMTUOfItsNarrowestTunnel(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		mtu := func() int {
			o, err := w.kernel.Observe(t.Context(), 7117)
			require.NoError(t, err)
			for _, r := range o.Routes {
				if r.Prefix == netip.MustParsePrefix("10.2.0.0/16") && r.Nexthop != 0 {
					return r.MTU
				}
			}
			return -1
		}
		require.Zero(t, mtu())
		require.NotEmpty(t, w.pathMTU.sessions)
		for _, s := range w.pathMTU.sessions {
			assert.Equal(t, "mesh1", s.Device, "only tunnels are probed")
		}
		w.pathMTU.found = map[catalog.GatewayID]int{"east/b": 1330} // between two MTUs of routes
		w.pathMTU.Notify()
		synctest.Wait()
		assert.Equal(t, 1328, mtu())
		assert.Equal(t, []uint32{routes.NarrowNexthopID(1328, 0, routes.IPv4), routes.NarrowNexthopID(1328, 1, routes.IPv4)}, w.group(t))
	})
}

// A second renewal in the same pass would discard the handshake of the first one.
func TestNodeRenewsAPeerWithoutAHandshakeOnceForEachCandidate(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		w.update(func(v *plan.Inventory) {
			v.Gateways[1].Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		before := w.tunnels.Calls(tunneltest.OpConfigure)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		assert.Equal(t, 10, w.tunnels.Calls(tunneltest.OpConfigure)-before, "5 s for each candidate")
	})
}

func TestNodeReportsItsGatewaysAndThePathOfAPacket(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		time.Sleep(10 * time.Second)
		assert.Equal(t, []status.Path{
			{Gateway: "east/a", Device: "eth0", Answers: true, RTT: w.node.Status().Paths[0].RTT},
			{Gateway: "east/b", Device: "mesh1", Tunnel: true},
		}, w.node.Status().Paths)
		report, err := w.node.Routes(t.Context(), netip.MustParseAddr("10.2.0.1"))
		require.NoError(t, err)
		require.NotNil(t, report.Destination)
		assert.Equal(t, "10.2.0.1 is a pod address of west: packets to it go through eth0 to east/a", report.Destination.Verdict)
		report, err = w.node.Routes(t.Context(), netip.MustParseAddr("fd77::9"))
		require.NoError(t, err)
		assert.Equal(t, "fd77::9 is in the overlay of the federation: packets to it go through mesh1 to east/b", report.Destination.Verdict)
		for _, r := range report.Routes {
			assert.Equal(t, "installed", r.State, r.Prefix)
			assert.NotEmpty(t, r.Via[0].Gateway, r.Prefix)
		}
		w.cluster.update(func(i *plan.Inventory) { i.Gateways = nil })
		report, err = w.node.Routes(t.Context(), netip.MustParseAddr("10.2.0.1"))
		require.NoError(t, err)
		assert.Contains(t, report.Destination.Verdict, "no gateway of this datacenter can be reached")
	})
}

func TestNodeReadsTheRoutesOnlyAfterEventsAndFromTimeToTime(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		time.Sleep(10 * time.Second)
		looks := func(act func()) int {
			before := w.kernel.Calls().Observe
			act()
			synctest.Wait()
			return w.kernel.Calls().Observe - before
		}
		west := netip.MustParsePrefix("10.2.0.0/16")
		assert.NotZero(t, looks(func() { w.kernel.DeleteRoute(7117, west) }))
		assert.Contains(t, w.kernel.String(), west.String(), "it is repaired at once")
		assert.Zero(t, looks(func() { time.Sleep(10 * time.Second) }), "passes while a session is down")
		added := catalog.Prefix{CIDR: netip.MustParsePrefix("10.3.0.0/16"), Kind: catalog.PodPrefix}
		assert.Zero(t, looks(func() {
			w.update(func(i *plan.Inventory) { i.Members[1].Prefixes = append(i.Members[1].Prefixes, added) })
		}), "what the inventory changes is known")
		assert.Contains(t, w.kernel.String(), added.CIDR.String())
		assert.NotZero(t, looks(func() { time.Sleep(30 * time.Second) }), "changes without an event are repaired")
	})
}

func TestAPrefixThatAnotherProgramRemovesFromATunnelIsRestored(t *testing.T) {
	simulateNode(t, func(t *testing.T, w *nodeWorld) {
		gateway := tunnel.PublicKey{2}
		before, found := w.tunnels.Peer(gateway)
		require.True(t, found)
		require.NotEmpty(t, before.AllowedIPs)
		for _, p := range before.AllowedIPs {
			if p.IsSingleIP() {
				w.network.SetHost(p.Addr(), true)
			}
		}
		time.Sleep(10 * time.Second)
		for _, path := range w.node.Status().Paths {
			require.True(t, path.Answers, "no pass is due because a session is down")
		}
		require.NoError(t, w.tunnels.Configure(t.Context(), tunnel.Change{
			Name: "mesh1", Peers: []tunnel.PeerChange{{PublicKey: gateway, RemoveAllowedIPs: before.AllowedIPs}},
		}))
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		now, _ := w.tunnels.Peer(gateway)
		require.Equal(t, before.AllowedIPs, now.AllowedIPs)
	})
}
