package sim

import (
	"context"
	"net/netip"
	"path/filepath"
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
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

const lane0 = "mesh0"

const underlayDevice = "eth0"

// site is one datacenter: a host whose kernel and data plane stay, and an
// agent that comes and goes.
type site struct {
	world    *world
	cfg      config.Config
	host     *controltest.Host
	underlay atomic.Value // netip.Addr
	tunnels  *tunneltest.Fake
	kernel   *routestest.Kernel
	filter   *routestest.Filter
	key      tunnel.PublicKey
	told     func() (string, error) // the token of the configuration; nil: none
	siblings *secret                // nil: this is the only gateway of its datacenter
	agent    *membership.Agent
	cancel   context.CancelFunc
	ended    chan error
}

func newSite(w *world, name string, cfg config.Config, underlay netip.Addr) *site {
	s := &site{
		world: w, cfg: cfg, host: w.fabric.Host(name, underlay.String()),
		tunnels: tunneltest.NewFake(), kernel: routestest.NewKernel(), filter: routestest.NewFilter(),
	}
	s.underlay.Store(underlay)
	s.kernel.AddDevice(underlayDevice, netip.Addr{})
	s.kernel.AddLink(underlayDevice, s.link())
	store, err := identity.Open(cfg.DataDir)
	require.NoError(w.t, err)
	key, err := store.WireGuardKey()
	require.NoError(w.t, err)
	require.NoError(w.t, store.Close())
	s.key = key.Public()
	return s
}

// name is that of the host in the world, which the datacenter mostly shares.
func (s *site) name() string { return s.host.Name() }

// start begins an agent on what an earlier one left.
func (s *site) start() {
	t := s.world.t
	store, err := identity.Open(s.cfg.DataDir)
	require.NoError(t, err)
	key, err := store.WireGuardKey()
	require.NoError(t, err)
	require.Equal(t, s.key, key.Public(), "a host keeps its key")
	log := logger(s.name())
	var siblings membership.Siblings
	if s.siblings != nil {
		siblings = s.siblings
	}
	s.agent = membership.New(membership.Config{
		File: s.cfg, Key: key, Identity: store, Log: log, Host: s, Token: s.told, Siblings: siblings,
		Kernel:  dataplane.Kernel{Tunnels: links{s.tunnels, s.kernel}, Routes: s.kernel, Firewall: s.filter},
		Sockets: func(func() netip.Prefix) control.Sockets { return s.host },
		NewLiveness: func() dataplane.Liveness {
			return liveness.New(liveness.Config{
				Port: s.cfg.Liveness.Port, Interval: s.cfg.Liveness.Interval, Multiplier: s.cfg.Liveness.Multiplier,
				Network: air{s.world, s}, Log: log,
			})
		},
		Services:   state.File[[]catalog.Service]{Path: filepath.Join(s.cfg.DataDir, "services.json"), What: "registrations"},
		DrainStore: state.File[dataplane.StoredDrain]{Path: filepath.Join(s.cfg.DataDir, "drain.json"), What: "drain"},
	})
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- s.agent.Run(ctx) }()
}

// stop ends the agent as SIGTERM does.
func (s *site) stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	require.NoError(s.world.t, <-s.ended)
	s.cancel = nil
}

// crash ends the agent without a farewell: nobody hears of it.
func (s *site) crash() {
	s.world.isolate(s.name(), true)
	s.stop()
	s.host.Crash()
	s.world.isolate(s.name(), false)
}

func (s *site) token(t *testing.T) string {
	t.Helper()
	return s.tokenFor(t, time.Hour)
}

func (s *site) tokenFor(t *testing.T, ttl time.Duration) string {
	t.Helper()
	member, err := s.agent.Member()
	require.NoError(t, err)
	token, err := member.CreateToken(t.Context(), "", ttl)
	require.NoError(t, err)
	return token.Text
}

// register registers a service at the agent.
func (s *site) register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	registrar, err := s.agent.Registrar()
	if err != nil {
		return 0, false, err
	}
	return registrar.Register(ctx, service)
}

func (s *site) join(token string) error {
	return s.agent.Join(context.Background(), token, func(string, string) {})
}

func (s *site) leave(force bool) error {
	return s.agent.Leave(context.Background(), force, func(string, string) {})
}

// reachable counts the datacenters that can be reached, with the own one.
func (s *site) reachable() int {
	count := 0
	for _, dc := range s.agent.Status().Datacenters {
		if dc.Reachable || dc.Self {
			count++
		}
	}
	return count
}

// Observe implements dataplane.Host.
func (s *site) Observe(context.Context) (plan.Host, error) {
	return plan.Host{
		Addresses: []netip.Addr{s.address()}, UnderlayMTU: 1500, Underlay: []string{underlayDevice},
		Links: []plan.Link{{Device: underlayDevice, Prefixes: []netip.Prefix{s.link()}}},
	}, nil
}

// Resolve implements dataplane.Host; the simulation knows addresses only.
func (s *site) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	addr, err := netip.ParseAddr(name)
	return []netip.Addr{addr}, err
}

func (s *site) address() netip.Addr { return s.underlay.Load().(netip.Addr) }

// link is what the host's underlay address is in.
func (s *site) link() netip.Prefix {
	return netip.PrefixFrom(s.address(), s.address().BitLen()-8).Masked()
}

func (s *site) endpoint() netip.AddrPort {
	return netip.AddrPortFrom(s.address(), s.cfg.WireGuard.Port)
}

// move gives the host another underlay address.
func (s *site) move(to string) {
	s.underlay.Store(netip.MustParseAddr(to))
	s.host.SetUnderlay(to)
	s.kernel.AddLink(underlayDevice, s.link())
}

// endpointOf returns where the data plane believes a peer to be; false: it is no peer.
func (s *site) endpointOf(peer *site) (netip.AddrPort, bool) {
	seen, err := s.tunnels.List(context.Background())
	if err != nil {
		return netip.AddrPort{}, false
	}
	for _, t := range seen {
		for _, p := range t.Peers {
			if p.PublicKey == peer.key {
				return p.Endpoint, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// links makes the kernel see the interfaces that the tunnels make.
type links struct {
	*tunneltest.Fake
	kernel *routestest.Kernel
}

// Create implements tunnel.Device.
func (l links) Create(ctx context.Context, name string, mtu int) error {
	if err := l.Fake.Create(ctx, name, mtu); err != nil {
		return err
	}
	l.kernel.AddDevice(name, netip.Addr{})
	return nil
}

// Configure implements tunnel.Device.
func (l links) Configure(ctx context.Context, c tunnel.Change) error {
	if err := l.Fake.Configure(ctx, c); err != nil {
		return err
	}
	for _, address := range c.AddAddresses {
		l.kernel.AddDevice(c.Name, address.Addr())
	}
	return nil
}

// Remove implements tunnel.Device.
func (l links) Remove(ctx context.Context, name string) error {
	l.kernel.DownDevice(name)
	return l.Fake.Remove(ctx, name)
}

// air is the inside of the tunnels as one site uses it: a packet arrives if a
// tunnel leads to its destination, and shows the receiver where it came from.
type air struct {
	world *world
	site  *site
}

// Listen implements liveness.Network.
func (a air) Listen(ctx context.Context, local netip.AddrPort, device string) (liveness.PacketConn, error) {
	a.site.host.SetOverlay(local.Addr())
	conn, err := a.world.air.Listen(ctx, local, device)
	return airConn{conn, a}, err
}

// ListenEcho implements liveness.Network.
func (a air) ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error) {
	conn, err := a.world.air.ListenEcho(ctx, local, device)
	return airConn{conn, a}, err
}

type airConn struct {
	liveness.PacketConn
	air
}

// WriteTo implements liveness.PacketConn.
func (c airConn) WriteTo(b []byte, to netip.AddrPort) error {
	for name, peer := range c.world.all() {
		if peer.overlay() != to.Addr() {
			continue
		}
		if !c.world.linked(c.site.name(), name) {
			return nil // lost on the way
		}
		peer.tunnels.Handshake(lane0, c.site.key, c.site.endpoint(), time.Now(), uint64(len(b)))
		c.site.tunnels.Handshake(lane0, peer.key, peer.endpoint(), time.Now(), 0)
	}
	return c.PacketConn.WriteTo(b, to)
}

func (s *site) overlay() netip.Addr {
	seen, err := s.tunnels.List(context.Background())
	if err != nil || len(seen) == 0 || len(seen[0].Addresses) == 0 {
		return netip.Addr{}
	}
	return seen[0].Addresses[0].Addr()
}
