// Package gatewayplan computes the plan of a gateway: its tunnels to other
// datacenters and to nodes, its routes, firewall and liveness sessions, and its record
// in the catalog. It is pure.
package gatewayplan

import (
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/routing"
)

// Compute derives the desired state of a gateway. Equal inputs give equal
// results, in whichever order their lists are. Invalid records of other
// datacenters become problems and do not affect the valid ones.
//
// An empty Desired (see plan.Desired.Empty) with Prune means: remove everything
// that is ours. Without Prune it means: change nothing.
func Compute(in plan.Inputs) (plan.Desired, []plan.Problem) {
	desired, problems, _ := Memo{}.Compute(in)
	return desired, problems
}

// Compute returns what the function Compute does, and what the next plan may use of it.
func (m Memo) Compute(in plan.Inputs) (plan.Desired, []plan.Problem, Memo) {
	prune := in.Synced.Catalog && in.Synced.Host && !in.Site.Nodes.Pending
	if in.Catalog.Federation.ID == "" {
		return plan.Desired{Prune: prune}, nil, Memo{}
	}
	var found plan.Problems
	topo, ok := newTopology(in, &m, &found)
	if !ok {
		// Our own record is missing. Either the local copy of the catalog lags or
		// an operator removed the record by mistake. Neither is a reason to
		// disconnect a datacenter, so nothing changes.
		return plan.Desired{}, found.Sorted(), Memo{}
	}
	diagnose(in, topo, &found)
	d := plan.Desired{
		Tunnels:      tunnels(in, topo),
		Routes:       desiredRoutes(in, topo, &m),
		Firewall:     firewall(in, topo, &m),
		Sessions:     sessions(in, topo),
		Registration: registration(in, topo),
		Prune:        prune,
	}
	switch in.Host.IPv6 {
	case plan.IPv6Everywhere:
	case plan.IPv6InLanes:
		routing.IPv6InLanes(d.Tunnels, &d.Routes)
	case plan.IPv6Missing:
		d.Sessions = routing.WithoutIPv6(d.Tunnels, &d.Routes, d.Sessions)
	}
	return d, found.Sorted(), m
}
