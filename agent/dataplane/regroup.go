package dataplane

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// applyRoutes writes what differs from the last pass. It reads the routes of the kernel
// only after a change by another program, after an error, and from time to time.
func (g *Gateway) applyRoutes(ctx context.Context, p *pass) (err error) {
	g.planned.Store(&p.inputs)
	apply := g.routes.Update
	if g.routesChanged.Swap(false) || p.at.Sub(p.lookedAt) >= resyncInterval {
		apply, p.lookedAt = g.routes.Apply, p.at
	}
	p.routes, err = apply(ctx, p.desired.Routes, p.desired.Prune)
	return err
}

// kernelChanged is called after a change by another program.
func (g *Gateway) kernelChanged() {
	g.routesChanged.Store(true)
	g.wake.Notify()
}

// regroup writes the nexthop groups that follow from the newest verdicts of liveness.
// It waits for no pass: flows leave a gateway that has failed as soon as it is known,
// however long the plan and the other appliers take. The pass that follows the same
// verdict plans the same groups.
func (g *Gateway) regroup(ctx context.Context) time.Duration {
	if err := g.routes.Regroup(ctx); err != nil {
		g.cfg.Log.Error("failed to change nexthop groups", "err", err)
		g.wake.Notify()
	}
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
	return plan.Regroup(in, c)
}
