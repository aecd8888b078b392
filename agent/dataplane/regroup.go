package dataplane

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/routes"
)

// kernelRoutes are the routes that passes apply.
type kernelRoutes struct {
	routes.Applier
	changed atomic.Bool // another program may have changed routes since they were read
}

// apply writes what differs from the last pass, and returns when the routes of the
// kernel were read. It reads them only after a change by another program, after an error
// (lookedAt is then zero), and from time to time.
func (r *kernelRoutes) apply(ctx context.Context, want routes.Config, prune bool, now, lookedAt time.Time) (routes.Observed, time.Time, error) {
	apply := r.Update
	if r.changed.Swap(false) || now.Sub(lookedAt) >= resyncInterval {
		apply, lookedAt = r.Apply, now
	}
	observed, err := apply(ctx, want, prune)
	return observed, lookedAt, err
}

// applyRoutes applies the routes of a pass.
func (g *Gateway) applyRoutes(ctx context.Context, p *pass) (err error) {
	g.planned.Store(&p.inputs)
	p.routes, p.lookedAt, err = g.routes.apply(ctx, p.desired.Routes, p.desired.Prune, p.at, p.lookedAt)
	return err
}

// kernelChanged is called after a change by another program.
func (g *Gateway) kernelChanged() {
	g.routes.changed.Store(true)
	g.wake.Notify()
}

// kernelChanged is called after a change by another program.
func (n *Node) kernelChanged() {
	n.routes.changed.Store(true)
	n.wake.Notify()
}

// regroup writes the nexthop groups that follow from the newest verdicts of liveness.
// It waits for no pass: flows leave a gateway that has failed as soon as it is known,
// however long the plan and the other appliers take. The pass that plans the same groups
// begins after it, so that it takes no processor from it.
func (g *Gateway) regroup(ctx context.Context) time.Duration {
	if err := g.routes.Regroup(ctx); err != nil {
		g.cfg.Log.Error("failed to change nexthop groups", "err", err)
	}
	g.regrouped.Notify()
	return 0
}

// newestGroups returns the groups of a configuration by the newest verdicts.
func (g *Gateway) newestGroups(c routes.Config) []routes.Group {
	planned := g.planned.Load()
	if planned == nil {
		return c.Groups
	}
	in := *planned
	in.Observed.Sessions, in.Now = g.cfg.Liveness.Sessions(), time.Now()
	return gatewayplan.Regroup(in, c)
}
