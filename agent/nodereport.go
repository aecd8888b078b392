package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// Status returns everything that this node knows of itself. It does not block.
func (n *Node) Status() status.Snapshot {
	s := status.Sources{
		StartedAt: n.startedAt, Version: build.Current().Version, State: status.Node, PublicKey: n.deps.Key.Public(),
		Inputs: plan.Inputs{Self: catalog.NewGatewayID(n.deps.Config.Datacenter, n.deps.Config.Gateway), Config: n.deps.Config},
	}
	if at := n.sound.Load(); at != 0 {
		s.LastApply = time.Unix(0, at)
	}
	if p := n.last.Load(); p != nil {
		s.At, s.Tunnels, s.Routes, s.Problems = p.at, p.tunnels, p.routes, p.problems
		s.Desired = plan.Desired{Tunnels: p.desired.Tunnels, Routes: p.desired.Routes, Firewall: p.desired.Firewall}
		s.Inputs.Synced.Catalog = p.inputs.Synced
		s.Inputs.Catalog.Datacenters = p.datacenters()
		s.Inputs.Observed.Sessions = n.deps.Liveness.Sessions()
		s.Paths = p.desired.Paths
		for _, err := range p.errors {
			s.Errors = append(s.Errors, err.Error())
		}
	}
	return status.Build(s)
}

// datacenters are those of the inventory, as the catalog has them.
func (p *nodePass) datacenters() []catalog.Datacenter {
	var out []catalog.Datacenter
	for _, m := range p.inputs.Inventory.Members {
		out = append(out, catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
	}
	return out
}

// gateways are the own ones of the inventory, as the catalog has them.
func (p *nodePass) gateways() []catalog.Gateway {
	var out []catalog.Gateway
	for _, g := range p.inputs.Inventory.Gateways {
		out = append(out, catalog.Gateway{Datacenter: p.inputs.Config.Datacenter, Name: g.Name, Index: g.Index})
	}
	return out
}

// Routes explains the kernel's routes as they are now; with a valid
// destination also which way a packet of this host takes to it.
func (n *Node) Routes(ctx context.Context, destination netip.Addr) (status.RoutesReport, error) {
	observed, err := n.deps.Dataplane.Routes.Observe(ctx, n.deps.Config.Routing.Table)
	if err != nil {
		return status.RoutesReport{}, err
	}
	s := status.RouteSources{
		Node: true, Observed: observed,
		Inputs: plan.Inputs{Self: catalog.NewGatewayID(n.deps.Config.Datacenter, n.deps.Config.Gateway), Config: n.deps.Config},
	}
	if p := n.last.Load(); p != nil {
		s.Desired.Routes = p.desired.Routes
		s.Inputs.Catalog.Federation.Overlay = p.inputs.Inventory.Overlay
		s.Inputs.Catalog.Datacenters, s.Inputs.Catalog.Gateways = p.datacenters(), p.gateways()
	}
	if destination.IsValid() {
		if s.Lookup, err = lookup(ctx, n.deps.Dataplane.Routes, destination); err != nil {
			return status.RoutesReport{}, err
		}
	}
	return status.BuildRoutes(s), nil
}
