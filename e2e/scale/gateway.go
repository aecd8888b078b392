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

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
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

func (e *environment) View() *replica.View              { return replica.New().View() }
func (e *environment) TopologyChanged() <-chan struct{} { return nil }
func (e *environment) Tune(time.Duration)               {}
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

// verdicts is a dataplane.Liveness with the verdicts of the environment.
type verdicts struct{ *environment }

func (verdicts) Run(ctx context.Context) error           { <-ctx.Done(); return nil }
func (verdicts) Overdue() <-chan struct{}                { return nil }
func (verdicts) Activity(tunnel.PublicKey, uint64)       {}
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
	k := kernel.New(kernel.Options{DevicePrefix: "mesh"})
	defer k.Close()
	published := notify.NewSignal()
	liveness := verdicts{e}
	g := dataplane.NewGateway(dataplane.GatewayConfig{
		Self: size.Self(), File: size.Settings(), Key: tunneltest.Key(1),
		Kernel:  dataplane.Kernel{Tunnels: tunneltest.NewFake(), Routes: k, Firewall: routestest.NewFilter()},
		Catalog: e, Trust: verified{e.topology}, Registrar: noRegistrar{}, Liveness: liveness, PathMTU: paths{},
		Host: host{e.host}, Site: dataplane.StaticSite(size.PrefixesOf(0)), Drain: dataplane.NewDrain(nil),
		Published: published.Notify, Log: slog.New(slog.NewTextHandler(b.progress, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }() // it is awaited below
	err := b.gatewayLost(ctx, liveness, published)
	cancel()
	err = errors.Join(err, <-ended)
	_, removed := routes.Remove(ctx, k, routes.DefaultTable)
	return errors.Join(err, removed)
}

func (b *bench) gatewayLost(ctx context.Context, liveness verdicts, published notify.Signal) error {
	events, err := subscribeNexthops()
	if err != nil {
		return err
	}
	defer unix.Close(events)
	awaitQuiet(ctx, published)
	lost := liveness.topology.Gateways[len(liveness.topology.Gateways)-1].ID()
	b.result.GatewayLost, err = b.median("gateway lost, 100 000 routes", func() (time.Duration, error) {
		if err := discard(events); err != nil {
			return 0, err
		}
		start := time.Now()
		liveness.decide(lost)
		if err := awaitEvent(events); err != nil {
			return 0, err
		}
		took := time.Since(start)
		liveness.decide("")
		awaitQuiet(ctx, published)
		return took, ctx.Err()
	})
	return err
}

// awaitQuiet waits until no pass has ended for a while, but for one at least.
func awaitQuiet(ctx context.Context, published notify.Signal) {
	select {
	case <-published.Changed():
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		select {
		case <-published.Changed():
		case <-time.After(300 * time.Millisecond):
			return
		case <-ctx.Done():
		}
	}
}

// eventTimeout bounds the time to wait for the kernel.
const eventTimeout = 30 // seconds

// subscribeNexthops returns a socket that receives changes of nexthop objects.
func subscribeNexthops() (int, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("open netlink socket: %w", err)
	}
	return socket, errors.Join(
		unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_NEXTHOP - 1)}),
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: eventTimeout}))
}

func awaitEvent(socket int) error {
	var message [1 << 12]byte
	if _, _, err := unix.Recvfrom(socket, message[:], 0); err != nil {
		return fmt.Errorf("await the change of a nexthop group: %w", err)
	}
	return nil
}

// discard reads the events so far.
func discard(socket int) error {
	var message [1 << 12]byte
	for {
		switch _, _, err := unix.Recvfrom(socket, message[:], unix.MSG_DONTWAIT); {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return err
		}
	}
}
