package dataplane

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Fill sets in s what the last pass and the sessions observed; nothing before
// the first pass.
func (g *Gateway) Fill(s *status.Sources) {
	p := g.last.Load()
	if p == nil {
		return
	}
	s.At, s.Inputs, s.Desired = p.at, p.inputs, p.desired
	s.Tunnels, s.Routes, s.Dropped = p.tunnels, p.routes, p.drops.counters
	if at := g.lastFullApply.Load(); at != 0 {
		s.LastApply = time.Unix(0, at)
	}
	s.Errors = append(s.Errors, p.errorTexts()...)
	s.Problems = append(s.Problems, p.problems...)
	s.Inputs.Observed.Sessions = g.cfg.Liveness.Sessions()
	s.Inputs.Now = time.Now()
}

// Reach sets in r what the last pass and the sessions observed; nothing before
// the first pass.
func (g *Gateway) Reach(r *plan.Reachability) {
	p := g.last.Load()
	if p == nil {
		return
	}
	in := p.inputs
	in.Observed.Sessions = g.cfg.Liveness.Sessions()
	r.Draining = in.Drain != plan.Active
	r.Federation, r.Synced, r.Problems = in.Catalog.Federation, in.Synced.Catalog, p.problems
	r.Datacenters = plan.Reach(in)
}

// RefuseDatacenter returns why this host cannot be in a federation with a
// datacenter, or nil. Before the first pass nothing is known.
func (g *Gateway) RefuseDatacenter(dc catalog.Datacenter, first catalog.Gateway) error {
	p := g.last.Load()
	if p == nil || !p.inputs.Synced.Host {
		return nil
	}
	return gatewayplan.RefuseDatacenter(p.inputs, dc, first)
}

// Sessions returns the liveness sessions with the remote gateways.
func (g *Gateway) Sessions() []plan.Session { return g.cfg.Liveness.Sessions() }

// Copied reports whether there are signs that another host runs this gateway.
func (g *Gateway) Copied() bool {
	return slices.ContainsFunc(g.Sessions(), func(s plan.Session) bool { return s.SelfCopied })
}

// Connected reports whether the last pass applied everything and a tunnel is
// up. It is also true of a datacenter that is alone.
func (g *Gateway) Connected() bool {
	p := g.last.Load()
	if p == nil || len(p.errors) > 0 {
		return false
	}
	return len(p.desired.Sessions) == 0 ||
		slices.ContainsFunc(g.cfg.Liveness.Sessions(), func(s plan.Session) bool { return s.Up })
}

// FillRoutes sets in s what the last pass planned; nothing before the first
// pass.
func (g *Gateway) FillRoutes(s *status.RouteSources) {
	if p := g.last.Load(); p != nil {
		s.Inputs, s.Desired = p.inputs, p.desired
		s.Inputs.Observed.Sessions = g.cfg.Liveness.Sessions()
	}
}

// ExplainRoutes reads the routes of the kernel as they are now, and explains
// them by the plan in s. With a valid destination the report includes the
// route that a packet of this host takes to it.
func ExplainRoutes(ctx context.Context, kernel routes.Kernel, s status.RouteSources, destination netip.Addr) (status.RoutesReport, error) {
	observed, err := kernel.Observe(ctx, s.Inputs.Config.Routing.Table)
	if err != nil {
		return status.RoutesReport{}, err
	}
	s.Observed = observed
	if destination.IsValid() {
		if s.Lookup, err = lookup(ctx, kernel, destination); err != nil {
			return status.RoutesReport{}, err
		}
	}
	return status.BuildRoutes(s), nil
}

func lookup(ctx context.Context, kernel routes.Kernel, destination netip.Addr) (*status.Lookup, error) {
	found, err := kernel.Lookup(ctx, routes.Query{Destination: destination})
	if errors.Is(err, routes.ErrNoRoute) {
		return &status.Lookup{Address: destination, Error: err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &status.Lookup{
		Address:   destination,
		Table:     found.Table,
		Prefix:    found.Prefix,
		Device:    found.Device,
		Source:    found.Source,
		Blackhole: found.Blackhole,
	}, nil
}
