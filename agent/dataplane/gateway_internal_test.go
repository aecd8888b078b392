package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// fakeCatalog is a catalog in this process.
type fakeCatalog struct {
	state   *replica.State
	index   uint64
	changed notify.Broadcast
	longest time.Duration
}

func (c *fakeCatalog) View() *replica.View        { return c.state.View() }
func (c *fakeCatalog) Changed() <-chan struct{}   { return c.changed.Changed() }
func (c *fakeCatalog) Tune(longest time.Duration) { c.longest = longest }
func (c *fakeCatalog) apply(t *testing.T, commands ...*catalogpb.Command) {
	t.Helper()
	for _, command := range commands {
		if command.Author == "" {
			command.Author = "dc0/gw"
		}
		command.At = timestamppb.Now()
		entry, err := catalog.Marshal(command)
		require.NoError(t, err)
		c.index++
		results, err := c.state.Apply(c.index, entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
}

func (c *fakeCatalog) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	return c.View(), consensus.Freshness{}, nil
}

// fakeLiveness has the sessions that it is set to.
type fakeLiveness struct {
	Liveness
	drained []bool // arguments of Drain
	set     []plan.SessionConfig
	up      bool
}

func (l *fakeLiveness) Set(sessions []plan.SessionConfig) { l.set = sessions }
func (l *fakeLiveness) Drain(on bool)                     { l.drained = append(l.drained, on) }
func (l *fakeLiveness) Activity(tunnel.PublicKey, uint64) {}
func (l *fakeLiveness) Sessions() []plan.Session {
	var sessions []plan.Session
	for _, s := range l.set {
		sessions = append(sessions, plan.Session{Gateway: s.Gateway, Up: l.up})
	}
	return sessions
}

// fakeRegistrar keeps all registrations.
type fakeRegistrar struct {
	registrations []plan.Registration
	onSet         func()
}

func (r *fakeRegistrar) Set(desired plan.Registration) {
	r.registrations = append(r.registrations, desired)
	if r.onSet != nil {
		r.onSet()
	}
}

func (r *fakeRegistrar) last() plan.Registration { return r.registrations[len(r.registrations)-1] }

type fakeHost struct {
	err  error
	mtus map[netip.Addr]int // of the links towards addresses
}

func (h *fakeHost) Observe(context.Context) (plan.Host, error) {
	return plan.Host{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}, h.err
}

func (h *fakeHost) LinkMTU(_ context.Context, to []netip.Addr) int {
	smallest := 0
	for _, a := range to {
		if mtu := h.mtus[a]; mtu != 0 && (smallest == 0 || mtu < smallest) {
			smallest = mtu
		}
	}
	return smallest
}

func (*fakeHost) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

// trustAll accepts every record: those of the test are not signed.
type trustAll struct{ saveError error }

func (trustAll) Verify(have plan.Catalog, _ time.Time) (plan.Catalog, []plan.Problem) {
	return have, nil
}

func (trustAll) Changed() <-chan struct{} { return nil }

func (a trustAll) Save() error { return a.saveError }

// fakePathMTU returns what was found.
type fakePathMTU struct {
	found map[catalog.GatewayID]int
	mtu   int // of the interfaces
}

func (*fakePathMTU) Run(context.Context) error             { return nil }
func (f *fakePathMTU) Set(_ []plan.SessionConfig, mtu int) { f.mtu = mtu }
func (f *fakePathMTU) Found() map[catalog.GatewayID]int    { return f.found }
func (*fakePathMTU) Changed() <-chan struct{}              { return nil }

// gatewayWorld is gateway dc0/gw, whose datacenter is in a federation with dc1.
type gatewayWorld struct {
	*Gateway
	catalog   *fakeCatalog
	tunnels   *tunneltest.Fake
	registrar *fakeRegistrar
	liveness  *fakeLiveness
	pathMTU   *fakePathMTU
	host      *fakeHost
	published int
}

func newGatewayWorld(t *testing.T) *gatewayWorld {
	t.Helper()
	w := &gatewayWorld{
		catalog:   &fakeCatalog{state: replica.New()},
		tunnels:   tunneltest.NewFake(),
		registrar: &fakeRegistrar{},
		liveness:  &fakeLiveness{up: true},
		pathMTU:   &fakePathMTU{},
		host:      &fakeHost{},
	}
	w.catalog.apply(t, consensustest.NewInit("dc0", "gw"))
	create, join := consensustest.NewJoin("dc0/gw", "dc1", "gw")
	w.catalog.apply(t, create, join)
	file := config.Config{
		Datacenter: "dc0", Gateway: "gw",
		WireGuard: config.WireGuard{Interface: "mesh", Port: 51820, Keepalive: 25 * time.Second},
		Control:   config.Control{Listen: netip.MustParseAddrPort("0.0.0.0:7443")},
		Routing:   config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
	}
	dc, _ := w.catalog.View().Datacenter("dc0")
	w.Gateway = NewGateway(GatewayConfig{
		Self:      "dc0/gw",
		File:      file,
		Key:       tunneltest.Key(1),
		Kernel:    Kernel{Tunnels: w.tunnels, Routes: routestest.NewKernel("mesh0"), Firewall: routestest.NewFilter()},
		Catalog:   w.catalog,
		Trust:     trustAll{},
		Registrar: w.registrar,
		Liveness:  w.liveness,
		PathMTU:   w.pathMTU,
		Host:      w.host,
		Site:      StaticSite(dc.Prefixes),
		Drain:     NewDrain(nil),
		Published: func() { w.published++ },
		Log:       slog.New(slog.DiscardHandler),
	})
	return w
}

// names returns the interfaces of the host.
func (w *gatewayWorld) names(t *testing.T) []string {
	t.Helper()
	tunnels, err := w.tunnels.List(t.Context())
	require.NoError(t, err)
	names := []string{}
	for _, o := range tunnels {
		names = append(names, o.Name)
	}
	return names
}

func (w *gatewayWorld) status() status.Sources {
	var s status.Sources
	w.Fill(&s)
	return s
}

func TestGatewayAppliesThePlanAndHandsOverTheRegistration(t *testing.T) {
	w := newGatewayWorld(t)
	w.registrar.onSet = func() {
		assert.Zero(t, w.tunnels.Calls(tunneltest.OpCreate), "the catalog does not wait for the kernel")
	}
	assert.Equal(t, retryInterval, w.pass(t.Context()), "the session is not observed yet")
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	r := w.registrar.last()
	assert.True(t, r.Known)
	assert.Equal(t, catalog.GatewayID("dc0/gw"), r.Gateway.ID())
	assert.Equal(t, []string{"192.0.2.9:51820"}, r.Gateway.Endpoints)
	assert.Equal(t, []string{"192.0.2.9:7443"}, r.Gateway.Controls)
	assert.NotEmpty(t, r.Prefixes)
	assert.False(t, r.Gateway.Draining)
	assert.Equal(t, 1, w.published)
	w.registrar.onSet = nil

	assert.Equal(t, resyncInterval, w.pass(t.Context()))
	assert.Equal(t, 1, w.tunnels.Calls(tunneltest.OpCreate))
	assert.Empty(t, w.status().Errors)
	assert.True(t, w.Connected())
	w.liveness.up = false
	assert.Equal(t, retryInterval, w.pass(t.Context()), "a session is down")
	assert.False(t, w.Connected())
}

func TestTheFirewallIsWrittenBeforeTheFirstTunnel(t *testing.T) {
	w := newGatewayWorld(t)
	firewall := w.cfg.Kernel.Firewall.(*routestest.Filter)
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpCreate {
			assert.NotZero(t, firewall.Writes())
		}
		return nil
	})
	w.pass(t.Context())
	require.Equal(t, 1, w.tunnels.Calls(tunneltest.OpCreate))
}

func TestUnencryptedPacketsThatAreDroppedAreAProblemForAWhile(t *testing.T) {
	w := newGatewayWorld(t)
	reported := func() bool {
		w.pass(t.Context())
		return slices.Contains(w.status().Problems, plan.UnencryptedDropped())
	}
	firewall := w.cfg.Kernel.Firewall.(*routestest.Filter)
	firewall.Count(routes.CounterUnencrypted, 5)
	assert.False(t, reported(), "they may be from before a restart")
	firewall.Count(routes.CounterUnderlay, 1)
	assert.False(t, reported())
	firewall.Count(routes.CounterUnencrypted, 1)
	assert.True(t, reported())
	assert.True(t, reported(), "the counter does not rise with every pass")
	last := *w.last.Load()
	last.drops.unencryptedAt = time.Now().Add(-dropMemory)
	w.last.Store(&last)
	assert.False(t, reported())
	assert.Equal(t, uint64(6), status.Build(w.status()).Dataplane.Dropped[routes.CounterUnencrypted])
}

func TestEndpointThatAPeerUsesIsNeverOverwritten(t *testing.T) {
	for name, used := range map[string]string{
		"another port":    "192.0.2.2:1024",
		"another address": "198.51.100.7:51820",
		"another family":  "[2001:db8::7]:51820",
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.pass(t.Context())
			w.pass(t.Context())
			peer := w.last.Load().tunnels[0].Peers[0]
			from := netip.MustParseAddrPort(used)
			w.tunnels.Handshake("mesh0", peer.PublicKey, from, time.Now(), 1)
			w.pass(t.Context())
			now, ok := w.tunnels.Peer(peer.PublicKey)
			require.True(t, ok)
			assert.Equal(t, from, now.Endpoint)
			assert.Equal(t, from.String(), status.Build(w.status()).Datacenters[1].Gateways[0].Endpoint)
			observations := w.registrar.last().Observations
			require.Len(t, observations, 1)
			assert.Equal(t, from, observations[0].Endpoint)
		})
	}
}

func TestRoutesFollowSessionsWhileTunnelsCannotBeListed(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.pass(t.Context())
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpList {
			return assert.AnError
		}
		return nil
	})
	before := w.status().Routes.Config
	w.liveness.up = false
	w.pass(t.Context())
	assert.NotEmpty(t, w.status().Errors)
	assert.NotEqual(t, before, w.status().Routes.Config, "the lane is not used")
	assert.NotEmpty(t, w.liveness.set)
}

func TestGatewayAdoptsTunnelsOnceTheyCanBeListed(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	next := newGatewayWorld(t)
	next.tunnels = w.tunnels
	next.cfg.Kernel.Tunnels = w.tunnels
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpList {
			return assert.AnError
		}
		return nil
	})
	for range 2 {
		assert.Equal(t, retryInterval, next.pass(t.Context()))
		assert.Len(t, next.status().Errors, 1)
		assert.Empty(t, next.liveness.set, "nothing is planned")
		assert.False(t, next.registrar.last().Known)
	}
	creates := w.tunnels.Calls(tunneltest.OpCreate)
	w.tunnels.Fail(nil)
	next.pass(t.Context())
	assert.Empty(t, next.status().Errors)
	assert.Len(t, next.status().Tunnels, 1)
	assert.Equal(t, creates, w.tunnels.Calls(tunneltest.OpCreate), "the interface is adopted")
	assert.True(t, next.registrar.last().Known)
}

func TestGatewayRemovesNothingBeforeItsCatalogHasCaughtUp(t *testing.T) {
	w := newGatewayWorld(t)
	_, err := tunnel.Apply(t.Context(), w.tunnels, tunneltest.Key(1), []tunnel.Config{{Name: "mesh7", ListenPort: 51827}}, false)
	require.NoError(t, err)
	w.pass(t.Context())
	assert.ElementsMatch(t, []string{"mesh0", "mesh7"}, w.names(t))
	w.catchUp(t.Context())
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))

	w.host.err = assert.AnError
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	assert.Len(t, w.status().Errors, 1)
	assert.False(t, w.registrar.last().Known, "the addresses are not known")
}

func TestGatewayKeepsEverythingWhileItsRecordIsMissing(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.cfg.Catalog = &fakeCatalog{state: replica.New()}
	w.forgetDepartures()
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	assert.Len(t, w.status().Tunnels, 1, "the status still shows them")
	assert.False(t, w.registrar.last().Known)
}

// forgetDepartures forgets the former catalog, as if the grace had elapsed.
func (w *gatewayWorld) forgetDepartures() {
	p := *w.last.Load()
	p.departures = departures{}
	w.last.Store(&p)
}

func TestGatewayAnnouncesItsDrain(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	require.NoError(t, w.cfg.Drain.Begin(time.Now().Add(time.Minute)))
	wait := w.pass(t.Context())
	assert.True(t, w.registrar.last().Gateway.Draining)
	w.liveness.up = true
	assert.Equal(t, resyncInterval, wait)
	require.NoError(t, w.cfg.Drain.Begin(time.Now().Add(time.Second)))
	assert.LessOrEqual(t, w.pass(t.Context()), time.Second, "the next pass is at the end of the drain")
	require.NoError(t, w.cfg.Drain.End())
	w.pass(t.Context())
	assert.Equal(t, []bool{false, true, true, false}, w.liveness.drained)
	assert.False(t, w.registrar.last().Gateway.Draining)
	var r plan.Reachability
	w.Reach(&r)
	assert.False(t, r.Draining)
}

func TestAFoundPathMTUBecomesThatOfTheRoutes(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	w.pass(t.Context())
	assert.Equal(t, w.last.Load().desired.Tunnels[0].MTU, w.pathMTU.mtu, "the search is bounded by the interface")
	w.pathMTU.found = map[catalog.GatewayID]int{"dc1/gw": 1328}
	w.pass(t.Context())
	var mtus []int
	for _, r := range w.last.Load().routes.Routes {
		mtus = append(mtus, r.MTU)
	}
	assert.Contains(t, mtus, 1328)
}

func TestTheMTUIsThatOfTheLinksTowardsThePeers(t *testing.T) {
	w := newGatewayWorld(t)
	w.host.mtus = map[netip.Addr]int{netip.MustParseAddr("192.0.2.1"): 1300} // the default route
	w.pass(t.Context())
	for _, peer := range w.last.Load().desired.Tunnels[0].Peers {
		w.host.mtus[peer.Endpoint.Addr()] = 1400
	}
	w.pass(t.Context())
	w.pass(t.Context())
	assert.Equal(t, 1320, w.last.Load().desired.Tunnels[0].MTU)
}

func TestLedgerThatCannotBeStoredIsAProblemAndStopsNothing(t *testing.T) {
	w := newGatewayWorld(t)
	w.Gateway.cfg.Trust = trustAll{saveError: errors.New("disk full")}
	w.pass(t.Context())
	s := w.status()
	assert.Empty(t, s.Errors)
	assert.NotZero(t, s.LastApply)
	assert.True(t, slices.ContainsFunc(s.Problems, func(p plan.Problem) bool { return p.Code == "trust-not-saved" }))
}
