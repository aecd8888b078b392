package plan

// Compute derives the desired state of a gateway. Equal inputs give equal
// results, in whichever order their lists are. Invalid records of other
// datacenters become problems and do not affect the valid ones.
//
// An empty Desired (see Desired.Empty) with Prune means: remove everything
// that is ours. Without Prune it means: change nothing.
func Compute(in Inputs) (Desired, []Problem) {
	prune := in.Synced.Catalog && in.Synced.Host && !in.Site.Nodes.Pending
	if in.Catalog.Federation.ID == "" {
		return Desired{Prune: prune}, nil
	}
	var found problems
	topo, ok := newTopology(in, &found)
	if !ok {
		// Our own record is missing. Either the local copy of the catalog lags or
		// an operator removed the record by mistake. Neither is a reason to
		// disconnect a datacenter, so nothing changes.
		return Desired{}, found.sorted()
	}
	diagnose(in, topo, &found)
	d := Desired{
		Tunnels:      tunnels(in, topo),
		Routes:       routing(in, topo),
		Firewall:     firewall(in, topo),
		Sessions:     sessions(in, topo),
		Registration: registration(in, topo),
		Prune:        prune,
	}
	if in.Host.NoIPv6 {
		d.Sessions = withoutIPv6(d.Tunnels, &d.Routes, d.Sessions)
	}
	return d, found.sorted()
}
