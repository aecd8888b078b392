package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// NodeDeps is everything that the agent of a node needs from outside.
type NodeDeps struct {
	Config    config.Config
	Dataplane Dataplane
	Host      Host
	Inventory Inventory
	Log       *slog.Logger
}

// Node keeps the routes of a host that is no gateway: to the gateways of its
// datacenter. It is in no federation and has no tunnels.
type Node struct {
	deps      NodeDeps
	startedAt time.Time
	wake      wake
	routes    routes.Applier
	last      atomic.Pointer[nodePass]
	sound     atomic.Int64 // when a pass last applied everything, Unix ns
}

// nodePass is one turn, from what went in to what came out.
type nodePass struct {
	inputs   plan.NodeInputs
	desired  plan.NodeDesired
	problems []plan.Problem
	routes   routes.Observed
	errors   []error
	at       time.Time
}

// NewNode returns an agent that does nothing until it runs.
func NewNode(deps NodeDeps) *Node {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Node{
		deps: deps, startedAt: time.Now(), wake: newWake(),
		routes: routes.Applier{Kernel: deps.Dataplane.Routes, Log: deps.Log},
	}
}

// Run keeps the routes until ctx ends, and leaves them as they are.
func (n *Node) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(ctx, n.deps.Dataplane.Routes.Watch(ctx, n.wake.up)) })
	group.Go(func() error {
		for ctx.Err() == nil {
			changed := n.deps.Inventory.Changed() // before the pass, so that none is missed
			pause := n.turn(ctx)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-n.wake:
			case <-time.After(pause):
			}
		}
		return nil
	})
	return group.Wait()
}

// turn makes one pass and returns how long the next may wait for an event.
func (n *Node) turn(ctx context.Context) time.Duration {
	p := &nodePass{at: time.Now()}
	host, err := n.deps.Host.Observe(ctx)
	if err != nil {
		p.errors = append(p.errors, err)
	}
	inventory, synced := n.deps.Inventory.Current()
	p.inputs = plan.NodeInputs{Config: n.deps.Config, Host: host, Inventory: inventory, Synced: synced && err == nil}
	p.desired, p.problems = plan.ComputeNode(p.inputs)
	if err == nil && !p.desired.Hold {
		n.apply(ctx, p)
	}
	n.report(p)
	n.last.Store(p)
	if len(p.errors) > 0 {
		return searchInterval
	}
	return resyncInterval
}

// apply makes the data plane what is desired: the firewall before the routes,
// so that no packet takes a new route unfiltered. Tunnels there are none:
// those of a gateway that has become a node go last, when nothing leads
// through them any more.
func (n *Node) apply(ctx context.Context, p *nodePass) {
	var err error
	if err := n.filter(ctx, p.desired); err != nil {
		p.errors = append(p.errors, err)
	}
	if p.routes, err = n.routes.Apply(ctx, p.desired.Routes, p.desired.Prune); err != nil {
		p.errors = append(p.errors, err)
	}
	if p.desired.Prune && len(p.errors) == 0 {
		if err := removeTunnels(ctx, n.deps.Dataplane.Tunnels); err != nil {
			p.errors = append(p.errors, err)
		}
	}
	if len(p.errors) == 0 {
		n.sound.Store(p.at.UnixNano())
	}
}

func (n *Node) filter(ctx context.Context, d plan.NodeDesired) error {
	if d.Empty() {
		return n.deps.Dataplane.Firewall.Remove(ctx)
	}
	return n.deps.Dataplane.Firewall.Apply(ctx, d.Firewall)
}

// report logs what is new in this pass: what stays is told once.
func (n *Node) report(p *nodePass) {
	before := &nodePass{}
	if last := n.last.Load(); last != nil {
		before = last
	}
	if err := errors.Join(p.errors...); err != nil && (len(before.errors) == 0 || errors.Join(before.errors...).Error() != err.Error()) {
		n.deps.Log.Error("data plane is not as it should be", "err", err)
	}
	for _, problem := range p.problems {
		if !slices.Contains(before.problems, problem) {
			n.deps.Log.Warn(problem.Message, "code", problem.Code, "subject", problem.Subject, "remedy", problem.Remedy)
		}
	}
	for _, problem := range before.problems {
		if !slices.Contains(p.problems, problem) {
			n.deps.Log.Info("resolved: "+problem.Message, "code", problem.Code, "subject", problem.Subject)
		}
	}
}

// Status returns everything that this node knows of itself. It does not block.
func (n *Node) Status() status.Snapshot {
	s := status.Sources{
		StartedAt: n.startedAt, Version: build.Current().Version, State: status.Node,
		Inputs: plan.Inputs{Self: catalog.NewGatewayID(n.deps.Config.Datacenter, n.deps.Config.Gateway), Config: n.deps.Config},
	}
	if at := n.sound.Load(); at != 0 {
		s.LastApply = time.Unix(0, at)
	}
	if p := n.last.Load(); p != nil {
		s.At, s.Routes, s.Problems = p.at, p.routes, p.problems
		s.Inputs.Synced.Catalog = p.inputs.Synced
		for _, m := range p.inputs.Inventory.Members {
			s.Inputs.Catalog.Datacenters = append(s.Inputs.Catalog.Datacenters,
				catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
		}
		for _, err := range p.errors {
			s.Errors = append(s.Errors, err.Error())
		}
	}
	return status.Build(s)
}
