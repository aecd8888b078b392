package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// NodeDeps is everything that the agent of a node needs from outside.
type NodeDeps struct {
	Config    config.Config
	Key       tunnel.PrivateKey
	Dataplane Dataplane
	Liveness  Probes
	Host      Host
	Inventory Inventory
	Log       *slog.Logger
}

// Node keeps the routes of a host that is no gateway: to the gateways of its
// datacenter, plainly or through tunnels. It is in no federation.
type Node struct {
	deps      NodeDeps
	startedAt time.Time
	wake      wake.One
	published wake.All // Ways or Pods may have changed
	routes    routes.Applier
	adopted   bool // what an earlier agent left has been looked at; only Run touches it
	last      atomic.Pointer[nodePass]
	sound     atomic.Int64 // when a pass last applied everything, Unix ns
}

// nodePass is one turn, from what went in to what came out.
type nodePass struct {
	inputs   plan.NodeInputs
	desired  plan.NodeDesired
	problems []plan.Problem
	tunnels  []tunnel.Observed
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
		deps: deps, startedAt: time.Now(), wake: wake.NewOne(),
		routes: routes.Applier{Kernel: deps.Dataplane.Routes, Log: deps.Log},
	}
}

// Run keeps the routes until ctx ends, and leaves them as they are.
func (n *Node) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(ctx, n.deps.Liveness.Run(ctx)) })
	group.Go(func() error { return ended(ctx, n.deps.Dataplane.Routes.Watch(ctx, n.wake.Up)) })
	group.Go(func() error {
		for ctx.Err() == nil {
			// Taken before the pass, so that no change during it is missed.
			changed, verdict := n.deps.Inventory.Changed(), n.deps.Liveness.Changed()
			pause := n.turn(ctx)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-verdict:
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
	observed, err := n.observed(ctx)
	host, failed := n.deps.Host.Observe(ctx)
	if err = errors.Join(err, failed); err != nil {
		p.errors = append(p.errors, err)
	}
	inventory, synced := n.deps.Inventory.Current()
	p.inputs = plan.NodeInputs{
		Config: n.deps.Config, PublicKey: n.deps.Key.Public(), Host: host, Inventory: inventory,
		Observed: observed, Synced: synced && err == nil, Now: p.at,
	}
	p.tunnels = observed.Tunnels
	p.desired, p.problems = plan.ComputeNode(p.inputs)
	if err == nil && !p.desired.Hold {
		n.apply(ctx, p)
	}
	n.report(p)
	n.last.Store(p)
	n.published.Up()
	down := slices.ContainsFunc(observed.Sessions, func(s plan.Session) bool { return !s.Up })
	if len(p.errors) > 0 || down || len(observed.Sessions) < len(p.desired.Sessions) {
		return searchInterval
	}
	return resyncInterval
}

// observed is what the last pass and the sessions reported; in the first pass,
// what an earlier agent left.
func (n *Node) observed(ctx context.Context) (plan.Observed, error) {
	seen := plan.Observed{Sessions: n.deps.Liveness.Sessions()}
	if n.adopted {
		seen.Tunnels = n.last.Load().tunnels
		return seen, nil
	}
	var err error
	if seen.Tunnels, err = n.deps.Dataplane.Tunnels.List(ctx); err != nil {
		return seen, fmt.Errorf("look at the tunnels: %w", err)
	}
	n.adopted = true
	return seen, nil
}

// apply makes the data plane what is desired: tunnels first, since routes lead
// through them, then the firewall, so that no packet takes a new route
// unfiltered. Tunnels that are not needed any more, and those of a gateway that
// has become a node, go last, when nothing leads through them.
func (n *Node) apply(ctx context.Context, p *nodePass) {
	var err error
	d := p.desired
	if p.tunnels, err = tunnel.Apply(ctx, n.deps.Dataplane.Tunnels, n.deps.Key, d.Tunnels, false); err != nil {
		p.errors = append(p.errors, err)
	}
	n.deps.Liveness.Set(d.Sessions)
	if err := n.filter(ctx, d); err != nil {
		p.errors = append(p.errors, err)
	}
	if p.routes, err = n.routes.Apply(ctx, d.Routes, d.Prune); err != nil {
		p.errors = append(p.errors, err)
	}
	if d.Prune && len(p.errors) == 0 {
		if p.tunnels, err = tunnel.Apply(ctx, n.deps.Dataplane.Tunnels, n.deps.Key, d.Tunnels, true); err != nil {
			p.errors = append(p.errors, err)
		}
	}
	if len(p.errors) == 0 {
		n.sound.Store(p.at.UnixNano())
	}
}

// Ways tells how this node reaches the gateways of its datacenter; false: not
// known yet.
func (n *Node) Ways() ([]plan.Path, bool) {
	p := n.last.Load()
	if p == nil || p.desired.Hold || !p.inputs.Synced {
		return nil, false
	}
	return p.desired.Paths, true
}

// Pods are the ranges of the pods of this host, as its routes tell.
func (n *Node) Pods() []netip.Prefix {
	if p := n.last.Load(); p != nil {
		return p.desired.Pods
	}
	return nil
}

// Changed is closed at the next change of Ways or Pods after this call.
func (n *Node) Changed() <-chan struct{} { return n.published.Changed() }

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
