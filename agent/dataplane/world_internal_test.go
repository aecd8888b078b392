package dataplane

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

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
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// fakeCatalog is a catalog in this process.
type fakeCatalog struct {
	state   *replica.State
	index   uint64
	changed notify.Broadcast
}

func (c *fakeCatalog) View() *replica.View                      { return c.state.View() }
func (c *fakeCatalog) TopologyChanged() <-chan struct{}         { return c.changed.Changed() }
func (c *fakeCatalog) Tune(map[catalog.GatewayID]time.Duration) {}

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
	since   time.Time
	reading func() // called by Sessions, unless nil
}

func (l *fakeLiveness) Set(sessions []plan.SessionConfig)    { l.set = sessions }
func (l *fakeLiveness) Drain(on bool)                        { l.drained = append(l.drained, on) }
func (l *fakeLiveness) Activity(map[tunnel.PublicKey]uint64) {}
func (l *fakeLiveness) Sessions() []plan.Session {
	if l.reading != nil {
		l.reading()
	}
	var sessions []plan.Session
	for _, s := range l.set {
		sessions = append(sessions, plan.Session{Gateway: s.Gateway, Up: l.up, Since: l.since})
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
		Liveness:  Liveness{Prober: w.liveness, ReceivedCounters: w.liveness, LocalSessions: w.liveness},
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
