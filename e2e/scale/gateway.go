//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// environment is what surrounds the data plane of a gateway: the kernel has its
// routes, everything else is in memory.
type environment struct {
	topology plan.Catalog
	host     plan.Host

	changed notify.Broadcast
	mu      sync.Mutex // guards all following
	set     []plan.SessionConfig
	down    catalog.GatewayID // whose session is down
}

func (e *environment) View() *replica.View                      { return replica.New().View() }
func (e *environment) TopologyChanged() <-chan struct{}         { return nil }
func (e *environment) Tune(map[catalog.GatewayID]time.Duration) {}
func (e *environment) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	return e.View(), consensus.Freshness{}, nil
}

// verified is the trust in all records.
type verified struct{ topology plan.Catalog }

func (v verified) Verify(plan.Catalog, time.Time) (plan.Catalog, []plan.Problem) {
	return v.topology, nil
}
func (verified) Changed() <-chan struct{} { return nil }
func (verified) Save() error              { return nil }

// verdicts has the ports of a dataplane.Liveness, with the verdicts of the environment.
type verdicts struct{ *environment }

func (verdicts) Run(ctx context.Context) error           { <-ctx.Done(); return nil }
func (verdicts) Overdue() <-chan struct{}                { return nil }
func (verdicts) Activity(map[tunnel.PublicKey]uint64)    {}
func (verdicts) Check(context.Context, netip.Addr) error { return nil }
func (verdicts) Drain(bool)                              {}
func (v verdicts) Changed() <-chan struct{}              { return v.changed.Changed() }
func (v verdicts) Set(sessions []plan.SessionConfig) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.set, sessions) {
		v.set = sessions
		v.changed.Notify()
	}
}

func (v verdicts) Sessions() []plan.Session {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []plan.Session
	for _, s := range v.set {
		out = append(out, plan.Session{Gateway: s.Gateway, Up: s.Gateway != v.down, Since: time.Now().Add(-time.Hour)})
	}
	return out
}

// decide makes the verdict that one gateway, or none, is down.
func (v verdicts) decide(down catalog.GatewayID) {
	v.mu.Lock()
	v.down = down
	v.mu.Unlock()
	v.changed.Notify()
}

// paths is a dataplane.PathMTU that finds nothing.
type paths struct{}

func (paths) Run(ctx context.Context) error    { <-ctx.Done(); return nil }
func (paths) Set([]plan.SessionConfig, int)    {}
func (paths) Found() map[catalog.GatewayID]int { return nil }
func (paths) Changed() <-chan struct{}         { return nil }

// host is a dataplane.Host with fixed addresses.
type host struct{ observed plan.Host }

func (h host) Observe(context.Context) (plan.Host, error)            { return h.observed, nil }
func (h host) LinkMTU(context.Context, []netip.Addr) int             { return 1500 }
func (h host) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

type noRegistrar struct{}

func (noRegistrar) Set(plan.Registration) {}

// measureGatewayLost measures the time from the verdict that a gateway is down until
// the kernel has changed the group of its datacenter, among 100 000 routes.
func (b *bench) measureGatewayLost(ctx context.Context) error {
	if err := makeDevices(ctx); err != nil {
		return err
	}
	size := b.size
	size.Prefixes = routeCount / 3 // each has a route to its group, a standby and a guard
	e := &environment{topology: size.Catalog(), host: size.Host()}
	e.topology.Observations = nil
	own := kernel.New(kernel.Options{DevicePrefix: "mesh"})
	defer own.Close()
	k := watchedKernel{Kernel: own, groups: make(chan written, 1024)} // more than a pass writes
	published := notify.NewSignal()
	liveness := verdicts{e}
	g := dataplane.NewGateway(dataplane.GatewayConfig{
		Self: size.Self(), File: size.Settings(), Key: tunneltest.Key(1),
		Kernel:  dataplane.Kernel{Tunnels: tunneltest.NewFake(), Routes: k, Firewall: routestest.NewFilter()},
		Catalog: e, Trust: verified{e.topology}, Registrar: noRegistrar{}, Liveness: dataplane.Liveness{Prober: liveness, ReceivedCounters: liveness, LocalSessions: liveness}, PathMTU: paths{},
		Host: host{e.host}, Site: dataplane.StaticSite(size.PrefixesOf(0)), Drain: dataplane.NewDrain(nil),
		Published: published.Notify, Log: slog.New(slog.NewTextHandler(b.progress, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }() // it is awaited below
	err := b.gatewayLost(ctx, e, k, func(at time.Time) error { return awaitPass(ctx, g, published, at) })
	cancel()
	err = errors.Join(err, <-ended)
	_, removed := routes.Remove(ctx, own, routes.DefaultTable)
	return errors.Join(err, removed)
}

// gatewayLost measures the changes of the group of the last datacenter, which has two
// gateways. The function passed waits for a pass with the verdicts of a time.
func (b *bench) gatewayLost(ctx context.Context, e *environment, k watchedKernel, passed func(time.Time) error) (err error) {
	liveness := verdicts{e}
	lost := e.topology.Gateways[len(e.topology.Gateways)-1].ID()
	ordinal := e.topology.Datacenters[len(e.topology.Datacenters)-1].Ordinal
	group := routes.GroupID(int(ordinal), routes.IPv4)
	// decide returns how long the kernel takes to have a number of members.
	decide := func(down catalog.GatewayID, members int) (time.Duration, error) {
		start := time.Now()
		liveness.decide(down)
		at, err := k.await(ctx, group, members)
		return at.Sub(start), errors.Join(err, passed(start), ctx.Err())
	}
	if _, err := k.await(ctx, group, 2); err != nil {
		return err
	}
	if err := passed(time.Now()); err != nil {
		return err
	}
	b.result.GatewayLost, err = b.median("gateway lost, 100 000 routes", func() (time.Duration, error) {
		took, err := decide(lost, 1)
		if err != nil {
			return 0, err
		}
		_, err = decide("", 2)
		return took, err
	})
	return err
}

// awaitPass waits for a pass that began after a time, so that the next measurement
// does not share the processor with it.
func awaitPass(ctx context.Context, g *dataplane.Gateway, published notify.Signal, at time.Time) error {
	for {
		var last status.RouteSources
		if g.FillRoutes(&last); last.Inputs.Now.After(at) {
			return nil
		}
		select {
		case <-published.Changed():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeTimeout bounds the time to wait for the kernel: 100 000 routes are written first.
const writeTimeout = 2 * time.Minute

// written is a group after the kernel has it.
type written struct {
	id      uint32
	members int
	at      time.Time
}

// watchedKernel reports the groups that were written. A reader of the events of the kernel
// would compete for the processors with what is measured.
type watchedKernel struct {
	routes.Kernel
	groups chan written
}

func (k watchedKernel) Apply(ctx context.Context, change routes.Change) error {
	err := k.Kernel.Apply(ctx, change)
	at := time.Now()
	if err != nil {
		return err
	}
	for _, g := range slices.Concat(change.Groups.Add, change.Groups.Replace) {
		select {
		case k.groups <- written{g.ID, len(g.Members), at}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// await returns when the kernel had a number of members in a group.
func (k watchedKernel) await(ctx context.Context, group uint32, members int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for {
		select {
		case w := <-k.groups:
			if w.id == group && w.members == members {
				return w.at, nil
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("await a group of %d nexthops: %w", members, ctx.Err())
		}
	}
}
