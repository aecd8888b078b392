package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Dataplane is what the agent steers packets with.
type Dataplane struct {
	Tunnels  tunnel.Device
	Routes   routes.Kernel
	Firewall routes.Filter
}

// Deps is everything that an agent needs from outside.
type Deps struct {
	Config        config.Config
	Key           tunnel.PrivateKey
	Federations   Federations
	Dataplane     Dataplane
	NewLiveness   func() Liveness // for one membership
	Host          Host
	Site          Site     // nil: the prefixes of the configuration
	Siblings      Siblings // nil: this gateway is the only one of its datacenter
	Registrations Registrations
	Drains        Drains                 // nil: a drain ends with the agent
	Problems      func() []plan.Problem  // of the surroundings, such as the API server; nil: none. Must be fast
	Token         func() (string, error) // to join with by itself, an error while there is none; nil: wait to be told
	Log           *slog.Logger
}

// Agent keeps one gateway in its federation, if it is in one.
type Agent struct {
	deps        Deps
	self        catalog.GatewayID
	startedAt   time.Time
	lifecycle   sync.Mutex // held while founding, joining or leaving
	transitions chan transition
	state       atomic.Value // status.State
	member      atomic.Pointer[member]
	joining     atomic.Pointer[plan.Problem] // why becoming a member by itself fails
	sharing     atomic.Pointer[plan.Problem] // why it is not in step with its siblings
	retired     atomic.Bool                  // it shall not become a member again
	tending     wake.One                     // there is a membership, or none any more
	drain       drain
	published   wake.All // Status may have changed
}

// transition replaces the membership: its change runs while no member does.
type transition struct {
	change func() error
	err    error // of the change
	done   chan error
}

// end answers who asked for the transition, once what then is the membership is
// open; err says that it is not. The zero transition has nobody to answer.
func (t transition) end(err error) {
	if t.done != nil {
		t.done <- errors.Join(t.err, err)
	}
}

// member is a running membership.
type member struct {
	Membership
	federation Federation
	loop       *loop
	registrar  *registrar
	expelled   atomic.Pointer[plan.Problem] // the federation has removed the datacenter
}

// New returns an agent that does nothing until it runs.
func New(deps Deps) *Agent {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Site == nil {
		deps.Site = StaticSite(deps.Config.Prefixes)
	}
	a := &Agent{
		deps:        deps,
		self:        catalog.NewGatewayID(deps.Config.Datacenter, deps.Config.Gateway),
		startedAt:   time.Now(),
		transitions: make(chan transition),
		drain:       drain{disk: deps.Drains},
		tending:     wake.NewOne(),
	}
	a.state.Store(status.Standalone)
	return a
}

// Run keeps the gateway in its federation until ctx ends. The data plane
// stays as it is when Run returns, so that a restart loses no packet.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.drain.load(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	opened := make(chan struct{})
	group.Go(func() error { return a.keep(ctx, sync.OnceFunc(func() { close(opened) })) })
	group.Go(func() error { a.tend(ctx, opened); return nil })
	return group.Wait()
}

// keep runs one membership after the other. It calls opened once it is known
// whether there is one.
func (a *Agent) keep(ctx context.Context, opened func()) error {
	var next transition
	for was := false; ctx.Err() == nil; {
		m, err := a.open()
		if err != nil {
			next.end(err)
			return err
		}
		a.member.Store(m)
		opened()
		next.end(nil)
		if is := m != nil; is != was {
			was = is
			a.tending.Up()
		}
		if next, err = a.serve(ctx, m); err != nil {
			return err
		}
		if next.change != nil {
			next.err = next.change()
		}
	}
	next.end(ctx.Err())
	return nil
}

// open reads the membership and prepares to take part in it; nil: none.
func (a *Agent) open() (*member, error) {
	membership, ok, err := a.deps.Federations.Current()
	if err != nil {
		return nil, err
	}
	if !ok {
		a.state.Store(status.Standalone)
		a.published.Up()
		return nil, nil
	}
	federation, err := a.deps.Federations.Open()
	if err != nil {
		return nil, err
	}
	m := a.newMember(membership, federation)
	if err := m.registrar.load(); err != nil {
		return nil, err
	}
	a.state.Store(status.Member)
	return m, nil
}

func (a *Agent) newMember(membership Membership, federation Federation) *member {
	again := wake.NewOne()
	reg := &registrar{
		federation: federation, disk: a.deps.Registrations, static: a.ownServices(),
		log: a.deps.Log, wake: wake.NewOne(),
	}
	l := &loop{
		published: a.published.Up,
		self:      a.self, cfg: a.deps.Config, key: a.deps.Key,
		federation: federation, dataplane: a.deps.Dataplane, liveness: a.deps.NewLiveness(), host: a.deps.Host, site: a.deps.Site,
		resolver:  newResolver(a.deps.Host, a.deps.Log, again),
		registrar: reg, log: a.deps.Log, wake: again,
		routes: routes.Applier{Kernel: a.deps.Dataplane.Routes, Log: a.deps.Log}, drain: &a.drain,
	}
	return &member{Membership: membership, federation: federation, loop: l, registrar: reg}
}

// ownServices returns the services of the configuration, with what the file leaves out.
func (a *Agent) ownServices() []catalog.Service {
	var services []catalog.Service
	for _, s := range a.deps.Config.Services {
		services = append(services, a.own(s))
	}
	return services
}

// serve runs m until ctx ends, m fails, or a transition replaces it, which it
// returns.
func (a *Agent) serve(ctx context.Context, m *member) (transition, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(running)
	if m != nil {
		group.Go(func() error { return m.run(running) })
	}
	var next transition
	select {
	case <-running.Done():
	case next = <-a.transitions:
	}
	stop()
	err := group.Wait()
	a.member.Store(nil)
	if next.change != nil {
		err = nil // what m ended with does not matter any more
	}
	return next, err
}

// run takes part in the federation. It ends in the reverse order of its start:
// the loop first, so that nobody waits for a catalog that is gone.
func (m *member) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	federation, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error { return m.federation.Run(federation) })
	group.Go(func() error {
		defer stop()
		inner, ctx := errgroup.WithContext(ctx)
		inner.Go(func() error { return m.loop.Run(ctx) })
		inner.Go(func() error { return m.registrar.Run(ctx) })
		return inner.Wait()
	})
	return group.Wait()
}

// change stops the membership, runs do, and starts what then is the membership.
func (a *Agent) change(ctx context.Context, state status.State, do func() error) error {
	t := transition{change: do, done: make(chan error, 1)}
	before := a.state.Swap(state)
	select {
	case a.transitions <- t:
	case <-ctx.Done():
		a.state.Store(before)
		return ctx.Err()
	}
	return <-t.done
}
