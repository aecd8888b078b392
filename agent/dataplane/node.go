package dataplane

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
	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// NodeConfig configures a Node. Problems and Log may be nil.
type NodeConfig struct {
	File      config.Config
	Key       tunnel.PrivateKey
	Kernel    Kernel
	Liveness  Prober
	PathMTU   PathMTU
	Host      Host
	Inventory Inventory
	Problems  func() []plan.Problem // of other parts of the agent, for the status
	Log       *slog.Logger
}

// Node keeps the routes of a host that is no gateway: to the gateways of its
// datacenter, plainly or through tunnels. It is not part of the catalog.
type Node struct {
	cfg           NodeConfig
	startedAt     time.Time
	wake          notify.Signal
	published     notify.Broadcast // Paths or Pods may have changed
	routes        kernelRoutes
	lastFullApply atomic.Int64 // time of the last pass without error, Unix ns; 0: none yet
	last          atomic.Pointer[nodePass]
}

// nodePass is one turn of the loop, from what went in to what came out.
type nodePass struct {
	outcome
	inputs  plan.NodeInputs
	desired plan.NodeDesired
	adopted bool // the tunnels that an earlier agent left have been listed

	withdrawals withdrawals
	earlier     earlier
}

// NewNode returns a node; Run starts it.
func NewNode(cfg NodeConfig) *Node {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Node{
		cfg:       cfg,
		startedAt: time.Now(),
		wake:      notify.NewSignal(),
		routes:    kernelRoutes{Applier: routes.Applier{Kernel: cfg.Kernel.Routes, Log: cfg.Log}},
	}
}

// Run keeps the routes until ctx ends, and leaves them as they are.
func (n *Node) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stopped(ctx, n.cfg.Liveness.Run(ctx)) })
	group.Go(func() error { return stopped(ctx, n.cfg.PathMTU.Run(ctx)) })
	group.Go(func() error { return stopped(ctx, n.cfg.Kernel.Routes.Watch(ctx, n.kernelChanged)) })
	group.Go(func() error { watchTunnels(ctx, n.cfg.Kernel.Tunnels, n.leftTunnels, n.wake.Notify); return nil })
	group.Go(func() error { watchDrops(ctx, n.cfg.Kernel.Firewall, n.dropped, n.wake.Notify); return nil })
	group.Go(func() error {
		notify.Loop(ctx, n.pass, n.cfg.Inventory.Changed, n.cfg.Liveness.Changed, n.cfg.PathMTU.Changed, n.wake.Changed)
		return nil
	})
	return group.Wait()
}

// pass gathers, plans, applies and publishes, and returns the time until the
// next pass if nothing changes before.
func (n *Node) pass(ctx context.Context) time.Duration {
	before := nodePass{}
	if last := n.last.Load(); last != nil {
		before = *last
	}
	p := &nodePass{outcome: before.next(time.Now()), adopted: before.adopted, withdrawals: before.withdrawals, earlier: before.earlier}
	p.add(p.withdrawals.load(n.cfg.Kernel.Withdrawn))
	p.add(p.earlier.load(ctx, n.cfg.Kernel, n.cfg.File.Routing.Table))
	err := n.gather(ctx, p, before)
	p.add(err)
	p.add(p.withdrawals.save(n.cfg.Kernel.Withdrawn))
	p.add(p.earlier.save(n.cfg.Kernel.Earlier))
	p.tunnels = p.inputs.Observed.Tunnels
	p.desired, p.problems = nodeplan.Compute(p.inputs)
	p.drops = before.drops
	if err == nil && !p.desired.Hold {
		n.apply(ctx, p)
		p.observeDrops(ctx, n.cfg.Kernel.Firewall, p.paths(), before.drops)
		p.observePaths(ctx, n.cfg.Kernel.Routes, p.paths())
		p.observeFilters(ctx, n.cfg.Kernel, interference.Filters{Paths: p.paths(), Tunnels: p.tunnels, Firewall: p.desired.Firewall})
	}
	p.log(n.cfg.Log, before.outcome)
	n.last.Store(p)
	n.published.Notify()
	sessions := p.inputs.Observed.Sessions
	if len(p.errors) > 0 || p.stale || anyDown(sessions) || len(sessions) < len(p.desired.Paths) {
		return retryInterval
	}
	return resyncInterval
}

// dropped returns what the firewall had dropped at the last pass.
func (n *Node) dropped() drops {
	if last := n.last.Load(); last != nil {
		return last.drops
	}
	return drops{}
}

// paths returns what determines the lookups that check the routes of this pass.
func (p *nodePass) paths() interference.Paths {
	paths := interference.Paths{Config: p.inputs.Config, Host: p.inputs.Host, Routed: p.desired.Firewall.Remote, Lanes: lanes(p.desired.Firewall)}
	for _, dc := range p.datacenters() {
		if dc.Name == p.inputs.Config.Datacenter {
			paths.Own = dc.Prefixes
		} else {
			paths.Datacenters = append(paths.Datacenters, dc)
		}
	}
	return paths
}

// gather sets the inputs of p. It only reads. If an input cannot be read, the
// inputs are not marked as synced.
func (n *Node) gather(ctx context.Context, p *nodePass, before nodePass) error {
	observed := plan.Observed{Sessions: n.cfg.Liveness.Sessions(), PathMTUs: n.cfg.PathMTU.Found()}
	host, hostErr := n.cfg.Host.Observe(ctx)
	err := hostErr
	tunnels, listErr := n.cfg.Kernel.Tunnels.List(ctx) // as they are now: peers change their endpoints by themselves
	switch {
	case listErr == nil:
		observed.Tunnels, p.adopted = tunnels, true
	case before.adopted:
		observed.Tunnels = before.tunnels
		p.add(fmt.Errorf("list tunnels: %w", listErr))
	default: // what an earlier agent left is not known
		err = errors.Join(fmt.Errorf("list tunnels: %w", listErr), err)
	}
	inventory, synced := n.cfg.Inventory.Current()
	if synced && len(inventory.Members) > 0 {
		p.withdrawals = p.withdrawals.next(p.at, n.cfg.File.Datacenter, recordsOf(inventory))
		if hostErr == nil && p.earlier.Known() { // the routes of the host are known
			p.earlier.Earlier = p.earlier.Next(n.cfg.File.Datacenter, recordsOf(inventory), p.withdrawals.list, host.PolicyRoutes, true)
		}
	}
	host.Earlier = p.earlier.Of(host.PolicyRoutes)
	host.UnderlayMTU = underlayMTU(ctx, n.cfg.Host, host, observed.Tunnels, addressesOf(inventory.Gateways))
	p.inputs = plan.NodeInputs{
		Config:    n.cfg.File,
		PublicKey: n.cfg.Key.Public(),
		Host:      host,
		Inventory: inventory,
		Withdrawn: p.withdrawals.list,
		Observed:  observed,
		Synced:    synced && err == nil,
		Now:       p.at,
	}
	return err
}

// apply makes the data plane what is desired, in the order of a gateway's.
// Tunnels that are no longer needed, and those of a gateway that has become a
// node, are removed last, when no route uses them.
func (n *Node) apply(ctx context.Context, p *nodePass) {
	var err error
	d := p.desired
	if !d.Empty() {
		p.add(n.cfg.Kernel.Firewall.Apply(ctx, d.Firewall))
	}
	p.tunnels, err = tunnel.Apply(ctx, n.cfg.Kernel.Tunnels, n.cfg.Key, d.Tunnels, false)
	p.add(err)
	n.cfg.Liveness.Set(d.Sessions)
	n.cfg.PathMTU.Set(d.TunnelSessions())
	p.routes, p.lookedAt, err = n.routes.apply(ctx, d.Routes, d.Prune, p.at, p.lookedAt)
	p.add(err)
	if d.Prune && len(p.errors) == 0 {
		p.tunnels, err = tunnel.Apply(ctx, n.cfg.Kernel.Tunnels, n.cfg.Key, renewed(d.Tunnels), true)
		p.add(err)
	}
	if d.Empty() { // the datacenter has left; the firewall ends with the last tunnel
		p.add(n.cfg.Kernel.removeGuard(ctx))
		p.withdrawals, p.earlier = withdrawals{}, earlier{}
	}
	if len(p.errors) == 0 {
		n.lastFullApply.Store(p.at.UnixNano())
	}
}

// renewed returns the configurations after their peers were renewed. A second renewal
// would discard the answer to the handshake of the first one, and the gateway would
// ignore a second handshake within 20 ms (wireguard-go: HandshakeInitationRate).
func renewed(tunnels []tunnel.Config) []tunnel.Config {
	tunnels = slices.Clone(tunnels)
	for i := range tunnels {
		tunnels[i].Peers = slices.Clone(tunnels[i].Peers)
		for j := range tunnels[i].Peers {
			tunnels[i].Peers[j].Renew = false
		}
	}
	return tunnels
}

// Paths returns how this node reaches the gateways of its datacenter; false: it
// is not known yet.
func (n *Node) Paths() ([]plan.Path, bool) {
	p := n.last.Load()
	if p == nil || p.desired.Hold || !p.inputs.Synced {
		return nil, false
	}
	return p.desired.Paths, true
}

// Pods returns the ranges of the pods of this host, as its routes show them.
func (n *Node) Pods() []netip.Prefix {
	if p := n.last.Load(); p != nil {
		return p.desired.Pods
	}
	return nil
}

// Changed returns a channel that is closed at the next change of Paths or Pods.
func (n *Node) Changed() <-chan struct{} { return n.published.Changed() }
