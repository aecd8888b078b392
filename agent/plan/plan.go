package plan

import (
	"github.com/meshway/meshway/routes"
)

// Compute derives what should be from what is known. Equal inputs, in
// whatever order, give equal results. Bad records of others become problems
// and never hide the good ones.
//
// An empty Desired (see Desired.Empty) with Prune means: remove everything
// that is ours. Without Prune it means: touch nothing.
func Compute(in Inputs) (Desired, []Problem) {
	prune := in.Synced.Catalog && in.Synced.Host && !in.Nodes.Pending
	if in.Catalog.Federation.ID == "" {
		return Desired{Prune: prune}, nil
	}
	var found problems
	topo, ok := newTopology(in, &found)
	if !ok {
		// Our own record is missing. That is a copy which lags, or a mistake of
		// an operator, but not a reason to cut a datacenter off: hold still.
		return Desired{}, found.sorted()
	}
	diagnose(in, topo, &found)
	return Desired{
		Tunnels:      tunnels(in, topo),
		Routes:       routing(in, topo),
		Firewall:     firewall(in, topo),
		Sessions:     sessions(in, topo),
		Observations: observations(in, topo),
		Prune:        prune,
	}, found.sorted()
}

// Empty tells whether nothing is desired: this gateway is no member.
func (d Desired) Empty() bool { return len(d.Tunnels) == 0 }

// families are those in which there is something to route.
func (topo topology) families() []routes.Family {
	used := map[routes.Family]bool{routes.FamilyOf(topo.self.Overlay): true}
	for _, p := range topo.local {
		used[routes.FamilyOf(p.Addr())] = true
	}
	for _, dc := range topo.others {
		for _, p := range dc.prefixes {
			used[routes.FamilyOf(p.Addr())] = true
		}
	}
	var out []routes.Family
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		if used[f] {
			out = append(out, f)
		}
	}
	return out
}

// peers are all remote gateways, by datacenter and index.
func (topo topology) peers() []peer {
	var out []peer
	for _, dc := range topo.others {
		out = append(out, dc.gateways...)
	}
	return out
}
