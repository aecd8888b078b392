package dataplane

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// Status returns the status of this node. It does not block.
func (n *Node) Status() status.Snapshot {
	s := status.Sources{
		StartedAt: n.startedAt,
		Version:   build.Current().Version,
		State:     status.Node,
		PublicKey: n.cfg.Key.Public(),
		Inputs:    plan.Inputs{Self: n.cfg.File.GatewayID(), Config: n.cfg.File},
	}
	if at := n.lastFullApply.Load(); at != 0 {
		s.LastApply = time.Unix(0, at)
	}
	if p := n.last.Load(); p != nil {
		s.At, s.Tunnels, s.Routes, s.Problems = p.at, p.tunnels, p.routes, p.problems
		s.Dropped = p.drops.counters
		s.Desired = plan.Desired{Tunnels: p.desired.Tunnels, Routes: p.desired.Routes, Firewall: p.desired.Firewall}
		s.Inputs.Synced.Catalog = p.inputs.Synced
		s.Inputs.Catalog.Datacenters = p.datacenters()
		s.Inputs.Observed.Sessions = n.cfg.Liveness.Sessions()
		s.Paths = p.desired.Paths
		s.Errors = p.errorTexts()
	}
	if n.cfg.Problems != nil {
		s.Problems = slices.Concat(s.Problems, n.cfg.Problems())
	}
	return status.Build(s)
}

// Routes explains the routes of the kernel as they are now. With a valid
// destination the report includes the route that a packet of this host takes
// to it.
func (n *Node) Routes(ctx context.Context, destination netip.Addr) (status.RoutesReport, error) {
	s := status.RouteSources{Node: true, Inputs: plan.Inputs{Self: n.cfg.File.GatewayID(), Config: n.cfg.File}}
	if p := n.last.Load(); p != nil {
		s.Desired.Routes = p.desired.Routes
		s.Inputs.Catalog.Federation.Overlay = p.inputs.Inventory.Overlay
		s.Inputs.Withdrawn = p.inputs.Withdrawn
		s.Inputs.Catalog.Datacenters, s.Inputs.Catalog.Gateways = p.datacenters(), p.gateways()
	}
	return ExplainRoutes(ctx, n.cfg.Kernel.Routes, s, destination)
}

// datacenters returns the members of the inventory as catalog records.
func (p *nodePass) datacenters() []catalog.Datacenter { return recordsOf(p.inputs.Inventory) }

func recordsOf(inventory plan.Inventory) []catalog.Datacenter {
	var out []catalog.Datacenter
	for _, m := range inventory.Members {
		out = append(out, catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
	}
	return out
}

// gateways returns the gateways of the inventory as catalog records.
func (p *nodePass) gateways() []catalog.Gateway {
	var out []catalog.Gateway
	for _, g := range p.inputs.Inventory.Gateways {
		out = append(out, catalog.Gateway{Datacenter: p.inputs.Config.Datacenter, Name: g.Name, Index: g.Index})
	}
	return out
}
