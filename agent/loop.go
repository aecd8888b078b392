package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

const (
	// resyncInterval heals drift that no event told of.
	resyncInterval = 30 * time.Second
	// searchInterval is how often a gateway that is down is looked for, and
	// a failed apply tried again.
	searchInterval = time.Second
)

// loop is the only owner of the data plane: one goroutine gathers, plans and
// applies, so that two applies never overlap.
type loop struct {
	self       catalog.GatewayID
	cfg        config.Config
	key        tunnel.PrivateKey
	federation Federation
	dataplane  Dataplane
	liveness   Liveness
	host       Host
	site       Site
	resolver   *resolver
	registrar  *registrar
	log        *slog.Logger
	wake       wake.One
	published  func() // after each pass
	routes     routes.Applier
	drain      *drain
	observed   plan.Observed // of the last pass; only Run touches it, like the next
	distances  roundTrips
	departures departures
	adopted    bool         // what an earlier agent left has been looked at
	lingering  bool         // a datacenter has just left: look again soon
	sound      atomic.Int64 // when a pass last applied everything, Unix ns
	synced     atomic.Bool  // the own copy of the catalog has caught up since the start
	last       atomic.Pointer[pass]
}

// pass is one turn of the loop, from what went in to what came out.
type pass struct {
	inputs   plan.Inputs
	desired  plan.Desired
	problems []plan.Problem
	tunnels  []tunnel.Observed
	routes   routes.Observed
	errors   []error
	at       time.Time
}

// Run makes passes until ctx ends, and leaves the data plane as it is.
func (l *loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(ctx, l.liveness.Run(ctx)) })
	group.Go(func() error { return l.resolver.Run(ctx) })
	group.Go(func() error { return ended(ctx, l.dataplane.Routes.Watch(ctx, l.wake.Up)) })
	group.Go(func() error { return l.listen(ctx) })
	group.Go(func() error { return l.catchUp(ctx) })
	group.Go(func() error { return l.settle(ctx) })
	group.Go(func() error {
		for ctx.Err() == nil {
			// Taken before the pass, so that no change during it is missed.
			changed, verdict, site := l.federation.Changed(), l.liveness.Changed(), l.site.Changed()
			p := l.turn(ctx)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-verdict:
			case <-site:
			case <-l.wake:
			case <-time.After(l.pause(p)):
			}
		}
		return nil
	})
	return group.Wait()
}

// ended tells a task that was asked to end from one that failed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// turn makes one pass and publishes it.
func (l *loop) turn(ctx context.Context) *pass {
	p := &pass{at: time.Now()}
	var err error
	if p.inputs, err = l.gather(ctx); err != nil {
		p.errors = append(p.errors, err)
	}
	p.desired, p.problems = plan.Compute(p.inputs)
	p.problems = append(p.problems, l.site.Current().Problems...)
	if p.desired.Empty() {
		// Our own record is missing: everything stays as it is until it is
		// known why. Only leaving removes.
		p.tunnels = l.observed.Tunnels
	} else {
		l.apply(ctx, p)
	}
	l.observed = plan.Observed{Tunnels: p.tunnels}
	l.registrar.observe(p.desired.Observations)
	l.federation.Tune(l.distances.observe(p.at, p.inputs.Observed.Sessions))
	l.report(p)
	l.last.Store(p)
	l.published()
	return p
}

// catchUp waits until the own copy has all that the leader had after this
// start. Before, a peer that is missing in it may only be newer than it.
func (l *loop) catchUp(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, _, err := l.federation.Read(ctx, LeaseRead); err == nil {
			l.synced.Store(true)
			l.wake.Up()
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryInterval):
		}
	}
	return nil
}

// gather reads all sources; what cannot be read is not synced, so that
// nothing is deleted for want of it.
func (l *loop) gather(ctx context.Context) (plan.Inputs, error) {
	if !l.adopted {
		// What an earlier agent left is adopted, not planned anew.
		tunnels, err := l.dataplane.Tunnels.List(ctx)
		if err != nil {
			return plan.Inputs{}, fmt.Errorf("look at the tunnels: %w", err)
		}
		l.observed.Tunnels, l.adopted = tunnels, true
	}
	step, _ := l.drain.at(time.Now())
	l.liveness.Drain(step != plan.Active)
	host, err := l.host.Observe(ctx)
	view := l.federation.View()
	state, lingering := l.departures.keep(time.Now(), catalogOf(view))
	l.lingering = lingering
	in := plan.Inputs{
		Self: l.self, Config: l.cfg, Host: host, Catalog: state,
		Endpoints: l.endpoints(state),
		Observed:  plan.Observed{Tunnels: l.observed.Tunnels, Sessions: l.liveness.Sessions()},
		Synced:    plan.Synced{Catalog: l.synced.Load(), Host: err == nil},
		Drain:     step,
		Nodes:     l.site.Current().Nodes,
		Now:       time.Now(),
	}
	if err == nil {
		l.describe(view, host, step)
	}
	return in, err
}

func catalogOf(v *catalog.View) plan.Catalog {
	federation, _ := v.Federation()
	return plan.Catalog{
		Federation: federation, Datacenters: v.Datacenters(), Gateways: v.Gateways(),
		Observations: v.Observations(), Index: v.Index(),
	}
}

// describe tells the registrar what the catalog has to know of this gateway:
// its addresses may have changed since it joined.
func (l *loop) describe(v *catalog.View, host plan.Host, drain plan.Drain) {
	self, ok := v.Gateway(l.self)
	site := l.site.Current()
	if !ok || !site.Known {
		return
	}
	self.Endpoints, self.Controls = advertisement(l.cfg, site, host)
	self.PublicKey, self.Version = catalog.Key(l.key.Public()), build.Current().Version
	self.Draining = drain != plan.Active
	l.registrar.describe(self, site.Prefixes)
}

// endpoints lists where each other gateway may be reached: as it advertises,
// then as others see it.
func (l *loop) endpoints(c plan.Catalog) map[catalog.GatewayID][]netip.AddrPort {
	found := map[catalog.GatewayID][]netip.AddrPort{}
	for _, g := range c.Gateways {
		if g.ID() == l.self {
			continue
		}
		for _, hostport := range g.Endpoints {
			found[g.ID()] = append(found[g.ID()], l.resolve(hostport)...)
		}
	}
	return found
}

func (l *loop) resolve(hostport string) []netip.AddrPort {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil
	}
	var endpoints []netip.AddrPort
	for _, addr := range l.resolver.lookup(host) {
		endpoints = append(endpoints, netip.AddrPortFrom(addr, uint16(port)))
	}
	return endpoints
}

// apply makes the data plane what is desired. Tunnels come first, since
// routes lead through them; the firewall before the routes, so that no packet
// takes a new route unfiltered.
func (l *loop) apply(ctx context.Context, p *pass) {
	var err error
	d := p.desired
	if p.tunnels, err = tunnel.Apply(ctx, l.dataplane.Tunnels, l.key, d.Tunnels, d.Prune); err != nil {
		p.errors = append(p.errors, err)
	}
	l.liveness.Set(d.Sessions)
	l.heard(p.tunnels)
	if err := l.filter(ctx, d); err != nil {
		p.errors = append(p.errors, err)
	}
	if p.routes, err = l.routes.Apply(ctx, d.Routes, d.Prune); err != nil {
		p.errors = append(p.errors, err)
	}
	if len(p.errors) == 0 {
		l.sound.Store(p.at.UnixNano())
	}
}

// applied returns when a pass last applied everything; zero: none has.
func (l *loop) applied() time.Time {
	at := l.sound.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// filter applies the firewall. Until the catalog has caught up, the table that
// an earlier agent left may know of more datacenters than we do: writing it
// would drop their packets.
func (l *loop) filter(ctx context.Context, d plan.Desired) error {
	if !d.Prune {
		state, err := l.dataplane.Firewall.State(ctx)
		if err != nil || state == routes.TableOther {
			return err
		}
	}
	return l.dataplane.Firewall.Apply(ctx, d.Firewall)
}

// heard passes on how much came out of the tunnels: it counts as life.
func (l *loop) heard(tunnels []tunnel.Observed) {
	for _, t := range tunnels {
		for _, peer := range t.Peers {
			l.liveness.Activity(peer.PublicKey, peer.ReceivedBytes)
		}
	}
}

// listen reads the tunnels' counters while a session needs them, at most four
// times in each detection time: they count from the second reading on.
func (l *loop) listen(ctx context.Context) error {
	between := l.cfg.Liveness.Interval * time.Duration(l.cfg.Liveness.Multiplier) / 4
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.liveness.Overdue():
		}
		if tunnels, err := l.dataplane.Tunnels.List(ctx); err == nil {
			l.heard(tunnels)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(between):
		}
	}
}

// pause is how long the next pass may wait for an event.
func (l *loop) pause(p *pass) time.Duration {
	sessions := p.inputs.Observed.Sessions
	down := slices.ContainsFunc(sessions, func(s plan.Session) bool { return !s.Up })
	if down || l.lingering || len(p.errors) > 0 || len(sessions) < len(p.desired.Sessions) {
		return searchInterval
	}
	if _, left := l.drain.at(time.Now()); left > 0 {
		return min(left, resyncInterval)
	}
	return resyncInterval
}

// report logs what is new in this pass: an error that stays is told once.
func (l *loop) report(p *pass) {
	var before []error
	var problems []plan.Problem
	if last := l.last.Load(); last != nil {
		before, problems = last.errors, last.problems
	}
	if err := errors.Join(p.errors...); err != nil && (errors.Join(before...) == nil || errors.Join(before...).Error() != err.Error()) {
		l.log.Error("data plane is not as it should be", "err", err)
	}
	for _, problem := range p.problems {
		if !slices.ContainsFunc(problems, func(q plan.Problem) bool { return q.Code == problem.Code && q.Subject == problem.Subject }) {
			l.log.Warn(problem.Message, "code", problem.Code, "subject", problem.Subject, "remedy", problem.Remedy)
		}
	}
	for _, problem := range problems {
		if !slices.ContainsFunc(p.problems, func(q plan.Problem) bool { return q.Code == problem.Code && q.Subject == problem.Subject }) {
			l.log.Info("resolved: "+problem.Message, "code", problem.Code, "subject", problem.Subject)
		}
	}
}
