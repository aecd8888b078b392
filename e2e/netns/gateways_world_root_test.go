//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/config"
	agenthost "github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/nft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The addresses of the shared world.
const (
	lanA, lanB, lanNode = "192.0.2.1", "192.0.2.2", "192.0.2.3"

	clientPod    = "10.2.1.10"
	podOnNode    = "10.1.3.10"
	podOnA       = "10.1.1.10"
	serviceOfPod = "10.101.0.1"
	serviceOfOwn = "10.101.0.2"
)

// shared is a datacenter with two gateways, on one of which is a pod, and
// another with one:
//
//	                      ┌─ mesh0 ─ a ─┬─ own 10.1.1.10
//	client ── west (w) ───┤             lan ── node ── pod 10.1.3.10
//	10.2.1.10             └─ mesh1 ─ b ─┘
//
// All hosts of the cluster have what kube-proxy and a CNI plugin do to
// packets: translated service addresses, packets that connection tracking
// calls invalid dropped, and sources masqueraded towards other ranges.
type shared struct {
	t                *testing.T
	lab              *harness.Lab
	west, a, b       *gatewayHost
	node             *harness.Host
	client, own, pod *harness.Host
	cancel           context.CancelFunc
	running          sync.WaitGroup
	nodeRoutes       routes.Applier
	nodeFilter       *nft.Filter
}

func newShared(t *testing.T) *shared {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test needs root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	s := &shared{t: t, lab: lab}
	s.hosts()
	s.wires()
	for _, h := range []*harness.Host{s.a.Host, s.b.Host, s.node} {
		s.cluster(h)
	}
	s.sendBy(s.a, s.b)
	t.Cleanup(func() { s.stop() })
	s.start()
	for host, address := range map[*harness.Host]string{s.client: clientPod, s.pod: podOnNode, s.own: podOnA} {
		_, err := host.Serve(t.Context(), harness.ServerPort, addr(address))
		require.NoError(t, err)
	}
	return s
}

func (s *shared) hosts() {
	hosts := map[string]*harness.Host{}
	for _, name := range []string{"w", "a", "b", "node", "lan", "client", "own", "pod"} {
		host, err := s.lab.Host(s.t.Context(), name)
		require.NoError(s.t, err)
		hosts[name] = host
	}
	s.west = s.gateway(hosts["w"], "west")
	s.a, s.b = s.gateway(hosts["a"], "east"), s.gateway(hosts["b"], "east")
	s.node, s.client, s.own, s.pod = hosts["node"], hosts["client"], hosts["own"], hosts["pod"]

	run(s.t, hosts["lan"], "ip link add br0 type bridge", "ip link set br0 up")
	for name, address := range map[string]string{"a": lanA, "b": lanB, "node": lanNode} {
		s.link(hosts["lan"], "", hosts[name], address+"/24")
		run(s.t, hosts["lan"], "ip link set dev "+name+" master br0")
	}
}

func (s *shared) wires() {
	s.link(s.west.Host, "10.2.1.1/24", s.client, clientPod+"/24")
	s.link(s.a.Host, "10.1.1.1/24", s.own, podOnA+"/24")
	s.link(s.node, "10.1.3.1/24", s.pod, podOnNode+"/24")
	for host, gateway := range map[*harness.Host]string{s.client: "10.2.1.1", s.own: "10.1.1.1", s.pod: "10.1.3.1"} {
		run(s.t, host, "ip route add default via "+gateway)
	}
	run(s.t, s.a.Host, "ip route add 10.1.3.0/24 via "+lanNode)
	run(s.t, s.b.Host, "ip route add 10.1.3.0/24 via "+lanNode, "ip route add 10.1.1.0/24 via "+lanA)
	run(s.t, s.node, "ip route add 10.1.1.0/24 via "+lanA)
	s.lane(s.a, 0)
	s.lane(s.b, 1)
}

func (s *shared) link(a *harness.Host, addressA string, b *harness.Host, addressB string) {
	end := func(host *harness.Host, address string) harness.End {
		e := harness.End{Host: host}
		if address != "" {
			e.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
		}
		return e
	}
	require.NoError(s.t, s.lab.Link(end(a, addressA), end(b, addressB), 1500))
}

// lane joins a gateway of east with west's, over what behaves like WireGuard:
// a link without neighbours, on which every packet is the other end's.
func (s *shared) lane(g *gatewayHost, index int) {
	s.link(s.west.Host, "", g.Host, "")
	for _, end := range []struct {
		*gatewayHost
		device, name string
	}{{s.west, g.Name(), fmt.Sprintf("mesh%d", index)}, {g, s.west.Name(), "mesh0"}} {
		run(s.t, end.Host,
			"ip link set dev "+end.device+" down",
			"ip link set dev "+end.device+" name "+end.name+" address 02:00:00:00:00:07 arp off",
			"ip address add "+overlays()[end.inputs.Self]+"/32 dev "+end.name,
			"ip link set dev "+end.name+" up")
	}
}

// cluster is what the other programs of a Kubernetes node do to packets.
func (s *shared) cluster(h *harness.Host) {
	require.NoError(s.t, h.Forward())
	_, err := h.ExecInput(s.t.Context(), `table inet cluster {
	counter from-west { }
	counter to-west { }
	chain count {
		type filter hook prerouting priority -310
		iifname mesh0 meta l4proto { tcp, udp } th dport 8080 counter name from-west
		ip daddr 10.2.0.0/16 counter name to-west
	}
	chain services {
		type nat hook prerouting priority dstnat
		ip daddr `+serviceOfPod+` dnat ip to `+podOnNode+`
		ip daddr `+serviceOfOwn+` dnat ip to `+podOnA+`
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
	require.NoError(s.t, err)
}

// sendBy makes the node send by these gateways.
func (s *shared) sendBy(gateways ...*gatewayHost) {
	s.t.Helper()
	in := plan.NodeInputs{Config: settings("east"), Synced: true}
	var through []string
	for _, g := range gateways {
		through = append(through, g.Name())
	}
	c := records()
	in.Inventory.Overlay = c.Federation.Overlay
	for _, dc := range c.Datacenters {
		in.Inventory.Members = append(in.Inventory.Members, plan.Member{Name: dc.Name, Ordinal: dc.Ordinal, Prefixes: dc.Prefixes, Through: through})
	}
	in.Inventory.Gateways = []plan.OwnGateway{
		{Name: "a", Index: 0, Addresses: []netip.Addr{addr(lanA)}}, {Name: "b", Index: 1, Addresses: []netip.Addr{addr(lanB)}},
	}
	if s.nodeFilter == nil {
		s.nodeFilter, s.nodeRoutes.Kernel = nft.New(), kernel.New(kernel.Options{})
	}
	require.NoError(s.t, s.node.Do(func() error {
		var err error
		if in.Host, err = look(s.t.Context()); err != nil {
			return err
		}
		d, _ := plan.ComputeNode(in)
		if err := s.nodeFilter.Apply(s.t.Context(), d.Firewall); err != nil {
			return err
		}
		_, err = s.nodeRoutes.Apply(s.t.Context(), d.Routes, true)
		return err
	}))
}

func look(ctx context.Context) (plan.Host, error) {
	own := func() []catalog.Prefix { return records().Datacenters[0].Prefixes }
	return agenthost.Host{TunnelPrefix: "mesh", Prefixes: own}.Observe(ctx)
}

func (s *shared) gateway(host *harness.Host, dc catalog.DatacenterName) *gatewayHost {
	id := catalog.NewGatewayID(dc, host.Name())
	return &gatewayHost{
		Host:    host,
		inputs:  plan.Inputs{Self: id, Config: settings(dc), Catalog: records(), Synced: plan.Synced{Catalog: true, Host: true}},
		applier: routes.Applier{Kernel: kernel.New(kernel.Options{})}, firewall: nft.New(),
	}
}

// start lets the gateways work, and waits until their lanes do.
func (s *shared) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.cancel = cancel
	for _, g := range []*gatewayHost{s.west, s.a, s.b} {
		require.NoError(s.t, g.Do(func() (err error) {
			g.inputs.Host, err = look(ctx)
			return err
		}))
		g.inputs.Endpoints = map[catalog.GatewayID][]netip.AddrPort{
			"east/a": {netip.AddrPortFrom(addr(lanA), 51820)}, "east/b": {netip.AddrPortFrom(addr(lanB), 51820)},
		}
		g.last.Store(nil)
		g.monitor = liveness.New(liveness.Config{Network: liveness.UDP{}})
		s.running.Go(func() { g.run(ctx) })
	}
	up := func(ids ...catalog.GatewayID) (want []plan.Session) {
		for _, id := range ids {
			want = append(want, plan.Session{Gateway: id, Up: true})
		}
		return want
	}
	s.awaitState(s.west, up("east/a", "east/b")...)
	s.awaitState(s.a, up("west/w")...)
	s.awaitState(s.b, up("west/w")...)
}

func (s *shared) stop() {
	s.cancel()
	s.running.Wait()
}

// cutLane loses all packets between a gateway of east and west.
func (s *shared) cutLane(g *gatewayHost) {
	s.t.Helper()
	s.drop(g, `iifname "mesh0" drop`, `oifname "mesh0" drop`)
	s.awaitState(g, plan.Session{Gateway: "west/w"})
}

// silence makes a gateway as good as dead, without a word.
func (s *shared) silence(g *gatewayHost) {
	s.t.Helper()
	s.drop(g, "drop", "drop")
}

func (s *shared) drop(g *gatewayHost, in, out string) {
	_, err := g.ExecInput(s.t.Context(), `table inet cut {
	chain in { type filter hook prerouting priority -500; `+in+`; }
	chain out { type filter hook postrouting priority 500; `+out+`; }
}
`, "nft", "-f", "-")
	require.NoError(s.t, err)
}

func settings(dc catalog.DatacenterName) config.Config {
	return config.Config{
		Datacenter: dc,
		WireGuard:  config.WireGuard{Interface: "mesh", Port: 51820},
		Routing:    config.Routing{Table: routes.DefaultTable, RulePriority: routes.DefaultRulePriority, Mark: routes.DefaultMark},
		Liveness:   config.Liveness{Interval: 100 * time.Millisecond, Multiplier: 4},
	}
}

func overlays() map[catalog.GatewayID]string {
	return map[catalog.GatewayID]string{"west/w": "10.77.0.1", "east/a": "10.77.0.2", "east/b": "10.77.0.3"}
}

// records is the catalog of the shared world.
func records() plan.Catalog {
	prefix := func(p string, kind catalog.PrefixKind) catalog.Prefix {
		return catalog.Prefix{CIDR: netip.MustParsePrefix(p), Kind: kind}
	}
	c := plan.Catalog{
		Federation: catalog.Federation{ID: "f", Name: "shared", Overlay: netip.MustParsePrefix("10.77.0.0/24")},
		Datacenters: []catalog.Datacenter{
			{Name: "east", Ordinal: 1, Prefixes: []catalog.Prefix{prefix("10.1.0.0/16", catalog.PodPrefix), prefix("10.101.0.0/16", catalog.ServicePrefix)}},
			{Name: "west", Ordinal: 2, Prefixes: []catalog.Prefix{prefix("10.2.0.0/16", catalog.PodPrefix)}},
		},
	}
	for i, g := range []catalog.Gateway{{Datacenter: "west", Name: "w"}, {Datacenter: "east", Name: "a"}, {Datacenter: "east", Name: "b", Index: 1}} {
		g.PublicKey, g.Overlay = catalog.Key{byte(i + 1)}, addr(overlays()[g.ID()])
		c.Gateways = append(c.Gateways, g)
	}
	return c
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
