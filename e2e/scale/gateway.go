//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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

// verdicts is a dataplane.Liveness with the verdicts of the environment.
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
	events, err := subscribeNexthops()
	if err != nil {
		return err
	}
	defer unix.Close(events)
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }() // it is awaited below
	err = b.gatewayLost(ctx, e, events, func(at time.Time) error { return awaitPass(ctx, g, published, at) })
	cancel()
	err = errors.Join(err, <-ended)
	_, removed := routes.Remove(ctx, k, routes.DefaultTable)
	return errors.Join(err, removed)
}

// gatewayLost measures the changes of the group of the last datacenter, which has two
// gateways. The function passed waits for a pass with the verdicts of a time.
func (b *bench) gatewayLost(ctx context.Context, e *environment, events int, passed func(time.Time) error) (err error) {
	liveness := verdicts{e}
	lost := e.topology.Gateways[len(e.topology.Gateways)-1].ID()
	ordinal := e.topology.Datacenters[len(e.topology.Datacenters)-1].Ordinal
	group := routes.GroupID(int(ordinal), routes.IPv4)
	// decide returns how long the kernel takes to have a number of members.
	decide := func(down catalog.GatewayID, members int) (time.Duration, error) {
		start := time.Now()
		liveness.decide(down)
		err := awaitMembers(events, group, members)
		took := time.Since(start)
		return took, errors.Join(err, passed(start), ctx.Err())
	}
	if err := awaitMembers(events, group, 2); err != nil {
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

// eventTimeout bounds the time to wait for the kernel.
const eventTimeout = 120 // seconds: 100 000 routes are written first

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

// awaitMembers waits until the kernel reports that a group has a number of members.
func awaitMembers(socket int, group uint32, members int) error {
	var buffer [1 << 15]byte
	for {
		n, _, err := unix.Recvfrom(socket, buffer[:], 0)
		if errors.Is(err, unix.EINTR) { // a signal of the scheduler; the kernel repeats no call with a timeout
			continue
		}
		if err != nil {
			return fmt.Errorf("await a group of %d nexthops: %w", members, err)
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return fmt.Errorf("read the change of a nexthop: %w", err)
		}
		for _, m := range messages {
			if id, has := parseGroup(m); id == group && has == members {
				return nil
			}
		}
	}
}

// parseGroup returns the id of a nexthop and the number of its members.
func parseGroup(m syscall.NetlinkMessage) (id uint32, members int) {
	if m.Header.Type != unix.RTM_NEWNEXTHOP || len(m.Data) < unix.SizeofNhmsg {
		return 0, 0
	}
	for rest := m.Data[unix.SizeofNhmsg:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			break
		}
		value := rest[unix.SizeofRtAttr:length]
		switch binary.NativeEndian.Uint16(rest[2:]) {
		case unix.NHA_ID:
			id = binary.NativeEndian.Uint32(value)
		case unix.NHA_GROUP:
			members = len(value) / unix.SizeofNexthopGrp
		}
		rest = rest[min((length+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(rest)):]
	}
	return id, members
}
