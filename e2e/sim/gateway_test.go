package sim

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controltest"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/pathmtu"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

const lane0 = "mesh0"

const underlayDevice = "eth0"

// gateway is a host with a kernel and a data plane that persist, and an agent that
// can be stopped and started.
type gateway struct {
	sim      *simulation
	cfg      config.Config
	port     uint16 // of WireGuard; unlike cfg, it stays as it is
	host     *controltest.Host
	underlay atomic.Value // netip.Addr
	tunnels  *tunneltest.Fake
	kernel   *routestest.Kernel
	filter   *routestest.Filter
	key      tunnel.PublicKey
	clock    func() time.Time       // nil: time.Now
	token    func() (string, error) // reads the configured token; nil: none is configured
	siblings *secret                // nil: the datacenter has no other gateways
	agent    *membership.Agent
	cancel   context.CancelFunc
	ended    chan error // receives the result of agent.Run
}

func newGateway(sim *simulation, name string, cfg config.Config, underlay netip.Addr) *gateway {
	g := &gateway{
		sim: sim, cfg: cfg, port: cfg.WireGuard.Port, host: sim.fabric.Host(name, underlay.String()),
		tunnels: tunneltest.NewFake(), kernel: routestest.NewKernel(), filter: routestest.NewFilter(),
	}
	g.underlay.Store(underlay)
	g.kernel.AddDevice(underlayDevice, netip.Addr{})
	g.kernel.AddLink(underlayDevice, g.link())
	store, err := identity.Open(cfg.DataDir)
	require.NoError(sim.t, err)
	key, err := store.WireGuardKey()
	require.NoError(sim.t, err)
	require.NoError(sim.t, store.Close())
	g.key = key.Public()
	return g
}

// name returns the name of the host, which is unique in the simulation. It is also
// the name of the datacenter if that has one gateway.
func (g *gateway) name() string { return g.host.Name() }

// start starts an agent with the data of earlier agents of the gateway.
func (g *gateway) start() {
	t := g.sim.t
	store, err := identity.Open(g.cfg.DataDir)
	require.NoError(t, err)
	key, err := store.WireGuardKey()
	require.NoError(t, err)
	require.Equal(t, g.key, key.Public(), "a host keeps its key")
	store.Clock = g.clock
	log := logger(g.name())
	var siblings membership.Siblings
	if g.siblings != nil {
		siblings = g.siblings
	}
	g.agent = membership.New(membership.Config{
		File:     g.cfg,
		Key:      key,
		Identity: store,
		Log:      log,
		Host:     g,
		Token:    g.token,
		Siblings: siblings,
		Kernel: dataplane.Kernel{
			Tunnels:  trackedTunnels{g.tunnels, g.kernel},
			Routes:   g.kernel,
			Firewall: g.filter,
		},
		Sockets: func(func() netip.Prefix) control.Sockets { return g.host },
		NewLiveness: func() dataplane.Liveness {
			monitor := liveness.New(liveness.Config{
				Port:       g.cfg.Liveness.Port,
				Interval:   g.cfg.Liveness.Interval,
				Multiplier: g.cfg.Liveness.Multiplier,
				Network:    overlay{g.sim, g},
				Log:        log,
			})
			return dataplane.Liveness{Prober: monitor, ReceivedCounters: monitor, LocalSessions: monitor}
		},
		NewPathMTU: func() dataplane.PathMTU { return pathmtu.New(overlay{g.sim, g}, log) },
		Services: &state.Journal[catalog.ServiceKey, catalog.Service]{
			Path: filepath.Join(g.cfg.DataDir, "services.journal"), Former: filepath.Join(g.cfg.DataDir, "services.json"),
			What: "registrations", Key: func(s catalog.Service) catalog.ServiceKey { return s.ServiceKey },
		},
		DrainStore: state.File[dataplane.StoredDrain]{Path: filepath.Join(g.cfg.DataDir, "drain.json"), What: "drain"},
	})
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.ended = cancel, make(chan error, 1)
	go func() { g.ended <- g.agent.Run(ctx) }()
}

// stop stops the agent as SIGTERM does, if it runs.
func (g *gateway) stop() {
	if g.cancel == nil {
		return
	}
	g.cancel()
	require.NoError(g.sim.t, <-g.ended)
	g.cancel = nil
}

// crash stops the agent without any further packet to other gateways.
func (g *gateway) crash() {
	g.sim.setIsolated(g.name(), true)
	g.stop()
	g.host.Crash()
	g.sim.setIsolated(g.name(), false)
}

func (g *gateway) createToken(t *testing.T) string {
	t.Helper()
	return g.createTokenFor(t, time.Hour)
}

func (g *gateway) createTokenFor(t *testing.T, ttl time.Duration) string {
	t.Helper()
	member, err := g.agent.Member()
	require.NoError(t, err)
	token, err := member.CreateToken(t.Context(), "", ttl)
	require.NoError(t, err)
	return token.Text
}

// register registers a service at the agent.
func (g *gateway) register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	registrar, err := g.agent.Registrar()
	if err != nil {
		return 0, false, err
	}
	return registrar.Register(ctx, service)
}

func (g *gateway) join(token string) error {
	return g.agent.Join(context.Background(), token, func(string, string) {})
}

func (g *gateway) leave(force bool) error {
	return g.agent.Leave(context.Background(), membership.LeaveOptions{Force: force}, func(string, string) {})
}

// reachable returns the number of reachable datacenters, including the gateway's
// own.
func (g *gateway) reachable() int {
	count := 0
	for _, dc := range g.agent.Status().Datacenters {
		if dc.Reachable || dc.Self {
			count++
		}
	}
	return count
}

// Observe implements dataplane.Host.
func (g *gateway) Observe(context.Context) (plan.Host, error) {
	return plan.Host{
		Addresses: []netip.Addr{g.address()}, UnderlayMTU: 1500, Underlay: []string{underlayDevice},
		Links: []plan.Link{{Device: underlayDevice, Prefixes: []netip.Prefix{g.link()}}},
	}, nil
}

// LinkMTU implements dataplane.Host.
func (*gateway) LinkMTU(context.Context, []netip.Addr) int { return 1500 }

// Resolve implements dataplane.Host. It supports only addresses.
func (g *gateway) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	addr, err := netip.ParseAddr(name)
	return []netip.Addr{addr}, err
}

func (g *gateway) address() netip.Addr { return g.underlay.Load().(netip.Addr) }

// link returns the underlay prefix of the host.
func (g *gateway) link() netip.Prefix {
	return netip.PrefixFrom(g.address(), g.address().BitLen()-8).Masked()
}

func (g *gateway) endpoint() netip.AddrPort {
	return netip.AddrPortFrom(g.address(), g.port)
}

// setUnderlay changes the underlay address of the host.
func (g *gateway) setUnderlay(to string) {
	g.underlay.Store(netip.MustParseAddr(to))
	g.host.SetUnderlay(to)
	g.kernel.AddLink(underlayDevice, g.link())
}

// endpointOf returns the endpoint of a peer in the gateway's data plane, and false
// if there is no such peer.
func (g *gateway) endpointOf(peer *gateway) (netip.AddrPort, bool) {
	p, ok := g.tunnels.Peer(peer.key)
	return p.Endpoint, ok
}

// observedTunnels returns the WireGuard interfaces of the gateway's host.
func (g *gateway) observedTunnels() []tunnel.Observed {
	observed, err := g.tunnels.List(context.Background())
	if err != nil {
		g.sim.t.Fatal(err)
	}
	return observed
}

// storedMembership returns the membership on the gateway's disk, if there is one.
func (g *gateway) storedMembership() (identity.Membership, bool, error) {
	store, err := identity.Open(g.cfg.DataDir)
	if err != nil {
		return identity.Membership{}, false, err
	}
	defer store.Close()
	return store.Membership()
}

// acceptCA makes the gateway trust the CA of another one's datacenter.
func (g *gateway) acceptCA(of *gateway) {
	t := g.sim.t
	store, err := identity.Open(of.cfg.DataDir)
	require.NoError(t, err)
	defer store.Close()
	ca, err := store.CA(of.cfg.Datacenter, time.Now())
	require.NoError(t, err)
	member, err := g.agent.Member()
	require.NoError(t, err)
	_, _, err = member.Trust().Accept(member.View(), of.cfg.Datacenter, ca.Pin())
	require.NoError(t, err)
}

// pod returns an address of a pod of the gateway's datacenter.
func (g *gateway) pod() string {
	return strings.Replace(g.cfg.Prefixes[0].CIDR.Addr().String(), ".0.0", ".0.10", 1)
}

// trackedTunnels adds the interfaces of the tunnels to the simulated kernel.
type trackedTunnels struct {
	*tunneltest.Fake
	kernel *routestest.Kernel
}

// Create implements tunnel.Device.
func (l trackedTunnels) Create(ctx context.Context, name string, mtu int) error {
	if err := l.Fake.Create(ctx, name, mtu); err != nil {
		return err
	}
	l.kernel.AddDevice(name, netip.Addr{})
	return nil
}

// Configure implements tunnel.Device.
func (l trackedTunnels) Configure(ctx context.Context, c tunnel.Change) error {
	if err := l.Fake.Configure(ctx, c); err != nil {
		return err
	}
	for _, address := range c.AddAddresses {
		l.kernel.AddDevice(c.Name, address.Addr())
	}
	return nil
}

// Remove implements tunnel.Device.
func (l trackedTunnels) Remove(ctx context.Context, name string) error {
	l.kernel.DownDevice(name)
	return l.Fake.Remove(ctx, name)
}
