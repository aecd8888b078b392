package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Registrar writes into the catalog what it should contain about this gateway.
type Registrar interface {
	// Set replaces what is desired. It does not wait for the catalog.
	Set(desired plan.Registration)
}

// GatewayConfig configures a Gateway. All fields are required.
type GatewayConfig struct {
	Self      catalog.GatewayID
	File      config.Config
	Key       tunnel.PrivateKey
	Kernel    Kernel
	Catalog   Catalog
	Trust     Trust
	Registrar Registrar
	Liveness  Liveness
	PathMTU   PathMTU
	Host      Host
	Site      Site
	Drain     *Drain
	Published func() // called after each pass
	Log       *slog.Logger
}

// Gateway owns the data plane of a gateway: one goroutine gathers, plans and
// applies, so that two applies never overlap.
type Gateway struct {
	cfg           GatewayConfig
	publicKey     tunnel.PublicKey // of cfg.Key; to derive it at each pass costs more than the plan
	resolver      *resolver
	routes        kernelRoutes
	wake          notify.Signal
	regrouped     notify.Broadcast // the groups follow the newest verdicts
	synced        atomic.Bool      // the local copy of the catalog has caught up since the start
	lastFullApply atomic.Int64     // time of the last pass without error, Unix ns; 0: none yet
	last          atomic.Pointer[pass]
	planned       atomic.Pointer[plan.Inputs] // of the routes that are applied now, or were last
}

// pass is one turn of the loop, from what went in to what came out. What the
// next pass needs of this one is in here too.
type pass struct {
	outcome
	inputs      plan.Inputs
	desired     plan.Desired
	memo        gatewayplan.Memo
	adopted     bool // the tunnels that an earlier agent left have been listed
	departures  departures
	withdrawals withdrawals
	earlier     earlier
	roundTrips  roundTrips
	arrivals    map[tunnel.PublicKey]plan.Arrival
}

// NewGateway returns a gateway loop; Run starts it.
func NewGateway(cfg GatewayConfig) *Gateway {
	wake := notify.NewSignal()
	g := &Gateway{
		cfg:       cfg,
		publicKey: cfg.Key.Public(),
		resolver:  newResolver(cfg.Host, cfg.Log, wake),
		routes:    kernelRoutes{Applier: routes.Applier{Kernel: cfg.Kernel.Routes, Log: cfg.Log}},
		wake:      wake,
	}
	g.routes.Groups = g.newestGroups
	return g
}

// Run makes passes until ctx ends, and leaves the data plane as it is.
func (g *Gateway) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stopped(ctx, g.cfg.Liveness.Run(ctx)) })
	group.Go(func() error { return stopped(ctx, g.cfg.PathMTU.Run(ctx)) })
	group.Go(func() error { g.resolver.run(ctx); return nil })
	group.Go(func() error { return stopped(ctx, g.cfg.Kernel.Routes.Watch(ctx, g.kernelChanged)) })
	group.Go(func() error { watchTunnels(ctx, g.cfg.Kernel.Tunnels, g.leftTunnels, g.wake.Notify); return nil })
	group.Go(func() error { watchDrops(ctx, g.cfg.Kernel.Firewall, g.dropped, g.wake.Notify); return nil })
	group.Go(func() error { g.countActivity(ctx); return nil })
	group.Go(func() error { g.catchUp(ctx); return nil })
	group.Go(func() error { g.finishDrains(ctx); return nil })
	group.Go(func() error { notify.Loop(ctx, g.regroup, g.cfg.Liveness.Changed); return nil })
	group.Go(func() error {
		notify.Loop(ctx, g.pass, g.cfg.Catalog.TopologyChanged, g.cfg.Trust.Changed, g.regrouped.Changed, g.cfg.PathMTU.Changed,
			g.cfg.Site.Changed, g.cfg.Drain.Changed, g.wake.Changed)
		return nil
	})
	return group.Wait()
}

// pass gathers, plans, applies and publishes, and returns the time until the
// next pass if nothing changes before.
func (g *Gateway) pass(ctx context.Context) time.Duration {
	before := pass{}
	if last := g.last.Load(); last != nil {
		before = *last
	}
	p := &pass{outcome: before.next(time.Now()), adopted: before.adopted, departures: before.departures, withdrawals: before.withdrawals, earlier: before.earlier}
	site := g.cfg.Site.Current()
	verified, untrusted := g.cfg.Trust.Verify(catalogOf(g.cfg.Catalog.View()), p.at)
	p.add(p.withdrawals.load(g.cfg.Kernel.Withdrawn))
	p.add(p.earlier.load(ctx, g.cfg.Kernel, g.cfg.File.Routing.Table))
	p.add(g.gather(ctx, p, verified, site, before))
	p.add(p.withdrawals.save(g.cfg.Kernel.Withdrawn))
	p.add(p.earlier.save(g.cfg.Kernel.Earlier))
	g.resolver.watch(p.inputs.Catalog, g.cfg.Self)
	p.desired, p.problems, p.memo = before.memo.Compute(p.inputs)
	p.problems = slices.Concat(p.problems, untrusted, g.saveTrust(), site.Problems)
	g.cfg.Liveness.Drain(g.cfg.Drain.On(p.at))
	g.cfg.Registrar.Set(p.desired.Registration) // before a slow kernel, so that others learn of a drain at once
	if p.desired.Empty() {
		// The record of this gateway is missing: everything stays as it is until
		// the reason is known. Only leaving removes.
		p.tunnels, p.drops = p.inputs.Observed.Tunnels, before.drops
	} else {
		g.apply(ctx, p)
		p.observeDrops(ctx, g.cfg.Kernel.Firewall, p.paths(), before.drops)
		p.observePaths(ctx, g.cfg.Kernel.Routes, p.paths())
		p.observeFilters(ctx, g.cfg.Kernel, interference.Filters{
			Paths: p.paths(), Tunnels: p.tunnels, Firewall: p.desired.Firewall,
		})
	}
	p.roundTrips = before.roundTrips.add(p.at, p.inputs.Observed.Sessions)
	p.appliedAt = time.Now()
	p.arrivals = arrivals(p.inputs.Observed.Arrivals, p.appliedAt, p.tunnels)
	g.cfg.Catalog.Tune(p.roundTrips.measured)
	p.log(g.cfg.Log, before.outcome)
	g.last.Store(p)
	g.cfg.Published()
	return g.wait(p)
}

// saveTrust stores what was verified. The data plane does not wait for a disk that is
// full: what was verified stays in memory.
func (g *Gateway) saveTrust() []plan.Problem {
	err := g.cfg.Trust.Save()
	if err == nil {
		return nil
	}
	return []plan.Problem{{
		Code:     "trust-not-saved",
		Severity: plan.Warning,
		Subject:  plan.GatewaySubject(g.cfg.Self),
		Message:  fmt.Sprintf("gateway %s cannot store which records it has verified: %v", g.cfg.Self, err),
		Remedy:   "free space on the file system of dataDir, or correct its permissions",
	}}
}

// gather sets the inputs of p, with the records of the catalog that were verified. It
// only reads. An input that cannot be read is not marked as synced, so that nothing is
// deleted because it is missing.
func (g *Gateway) gather(ctx context.Context, p *pass, verified plan.Catalog, site plan.Site, before pass) error {
	// Before the tunnels: a session with packets must not be newer than the handshake
	// that it needs, or its peer would be renewed as one without a handshake.
	sessions := g.cfg.Liveness.Sessions()
	tunnels, listErr := g.cfg.Kernel.Tunnels.List(ctx) // as they are now: peers change their endpoints by themselves
	if listErr != nil {
		listErr = fmt.Errorf("list tunnels: %w", listErr)
		if !before.adopted { // what an earlier agent left is not known
			return listErr
		}
		tunnels = before.tunnels
	}
	p.adopted = true
	host, err := g.cfg.Host.Observe(ctx)
	var state plan.Catalog
	p.departures, state = before.departures.next(p.at, verified)
	if verified.Federation.ID != "" {
		p.withdrawals = p.withdrawals.next(p.at, g.cfg.Self.Datacenter(), verified.Datacenters)
		if err == nil && p.earlier.Known() { // the routes of the host are known
			p.earlier.Earlier = p.earlier.Next(g.cfg.Self.Datacenter(), verified.Datacenters, p.withdrawals.list, host.PolicyRoutes, g.synced.Load())
		}
	}
	host.Earlier = p.earlier.Of(host.PolicyRoutes)
	drain, _ := g.cfg.Drain.At(p.at)
	endpoints := g.resolver.endpoints(state, g.cfg.Self)
	host.UnderlayMTU = underlayMTU(ctx, g.cfg.Host, host, tunnels, endpoints)
	p.inputs = plan.Inputs{
		Self:      g.cfg.Self,
		Config:    g.cfg.File,
		Host:      host,
		Catalog:   state,
		Endpoints: endpoints,
		Observed: plan.Observed{
			Tunnels:  tunnels,
			Sessions: sessions,
			PathMTUs: g.cfg.PathMTU.Found(),
			Arrivals: arrivals(before.arrivals, p.at, tunnels),
		},
		Synced:    plan.Synced{Catalog: g.synced.Load(), Host: err == nil},
		Drain:     drain,
		Site:      site,
		Withdrawn: p.withdrawals.list,
		PublicKey: g.publicKey,
		Version:   build.Current().Version,
		Now:       p.at,
		Before:    before.at,
	}
	return errors.Join(listErr, err)
}

func catalogOf(v *replica.View) plan.Catalog {
	federation, _ := v.Federation()
	return plan.Catalog{
		Federation:   federation,
		Settings:     v.Settings(),
		Datacenters:  v.Datacenters(),
		Gateways:     v.Gateways(),
		Observations: v.Observations(),
		Index:        v.Index(),
	}
}

// apply makes the data plane what is desired. The firewall comes first, so that no
// packet to a new prefix leaves unencrypted, or takes a new tunnel or route
// unfiltered; tunnels come before the routes, which use them.
func (g *Gateway) apply(ctx context.Context, p *pass) {
	var err error
	d := p.desired
	p.add(g.filter(ctx, d))
	p.tunnels, err = tunnel.Apply(ctx, g.cfg.Kernel.Tunnels, g.cfg.Key, d.Tunnels, d.Prune)
	p.add(err)
	g.cfg.Liveness.Set(d.Sessions)
	g.cfg.PathMTU.Set(d.Sessions, d.Tunnels[0].MTU)
	g.cfg.Liveness.Activity(receivedBytes(p.tunnels))
	p.add(g.applyRoutes(ctx, p))
	if len(p.errors) == 0 {
		g.lastFullApply.Store(p.at.UnixNano())
	}
}

// filter applies the firewall. Until the catalog has caught up, the table that
// an earlier agent left may cover more datacenters than the local copy has:
// replacing it would drop their packets.
func (g *Gateway) filter(ctx context.Context, d plan.Desired) error {
	if !d.Prune {
		state, err := g.cfg.Kernel.Firewall.State(ctx)
		if err != nil || state == routes.TableOther {
			return err
		}
	}
	return g.cfg.Kernel.Firewall.Apply(ctx, d.Firewall)
}

// dropped returns what the firewall had dropped at the last pass.
func (g *Gateway) dropped() drops {
	if last := g.last.Load(); last != nil {
		return last.drops
	}
	return drops{}
}

// paths returns what determines the lookups that check the routes of this pass.
func (p *pass) paths() interference.Paths {
	paths := interference.Paths{Config: p.inputs.Config, Host: p.inputs.Host, Routed: p.desired.Firewall.Remote, Lanes: lanes(p.desired.Firewall), Sessions: p.desired.Sessions}
	for _, dc := range p.inputs.Catalog.Datacenters {
		if dc.Name == p.inputs.Self.Datacenter() {
			paths.Own = dc.Prefixes
		} else {
			paths.Datacenters = append(paths.Datacenters, dc)
		}
	}
	return paths
}

// wait returns how long the next pass may wait for a change.
func (g *Gateway) wait(p *pass) time.Duration {
	sessions := p.inputs.Observed.Sessions
	if anyDown(sessions) || p.departures.pending() || len(p.errors) > 0 || p.stale || len(sessions) < len(p.desired.Sessions) {
		return retryInterval
	}
	if _, left := g.cfg.Drain.At(p.appliedAt); left > 0 {
		return min(left, resyncInterval)
	}
	return resyncInterval
}

// catchUp waits until the local copy has everything that the leader had after
// this start. Until then, a peer that the copy does not have may be newer than it.
func (g *Gateway) catchUp(ctx context.Context) {
	caughtUp := notify.LoopUntil(ctx, retryInterval, func(ctx context.Context) bool {
		_, _, err := g.cfg.Catalog.Read(ctx, consensus.LeaseRead)
		return err == nil
	})
	if caughtUp {
		g.synced.Store(true)
		g.wake.Notify()
	}
}

// countActivity reads the counters of the tunnels while a session is overdue,
// at most four times in each detection time. The first reading only starts the
// comparison.
func (g *Gateway) countActivity(ctx context.Context) {
	between := g.cfg.File.Liveness.Interval * time.Duration(g.cfg.File.Liveness.Multiplier) / 4
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.cfg.Liveness.Overdue():
		}
		if tunnels, err := g.cfg.Kernel.Tunnels.List(ctx); err == nil {
			g.cfg.Liveness.Activity(receivedBytes(tunnels))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(between):
		}
	}
}
