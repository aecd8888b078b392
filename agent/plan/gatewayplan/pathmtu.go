package gatewayplan

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// routeMTU returns the MTU of the routes to a datacenter: the smallest of the
// paths to its gateways, because each packet may take any of them. It is 0 if all
// carry what the interfaces do.
func routeMTU(in plan.Inputs, dc remoteDatacenter) int {
	smallest := plan.MTU(in.Config, in.Host)
	for _, p := range dc.gateways {
		if found := in.Observed.PathMTUs[p.ID()]; found != 0 && found < smallest {
			smallest = routes.RouteMTU(found)
		}
	}
	if smallest == plan.MTU(in.Config, in.Host) {
		return 0
	}
	return smallest
}

// narrowMembers returns the members of a datacenter's group and the MTU of its
// routes. If that is not 0, lanes have nexthops for this MTU, which are added. If
// no member is a lane it is 0: the other nexthops are shared by all datacenters.
func narrowMembers(c *routes.Config, in plan.Inputs, dc remoteDatacenter, f routes.Family, members []uint32) ([]uint32, int) {
	mtu := routeMTU(in, dc)
	if mtu == 0 {
		return members, 0
	}
	members = slices.Clone(members)
	lanes := false
	for _, p := range dc.gateways {
		i := slices.Index(members, routes.LaneNexthopID(int(p.Index), f))
		if i < 0 {
			continue
		}
		lanes = true
		narrow := routes.Nexthop{ID: routes.NarrowNexthopID(mtu, int(p.Index), f), Family: f, Device: plan.LaneDevice(in.Config, p.Index)}
		members[i] = narrow.ID
		if !slices.Contains(c.Nexthops, narrow) {
			c.Nexthops = append(c.Nexthops, narrow)
		}
	}
	if !lanes {
		return members, 0
	}
	slices.Sort(members)
	return members, mtu
}

// checkPathMTUs reports paths that carry less than a tunnel needs.
func checkPathMTUs(in plan.Inputs, topo topology, found *plan.Problems) {
	for _, p := range topo.peers() {
		size := in.Observed.PathMTUs[p.ID()]
		if size == 0 || size >= plan.MinMTU {
			continue
		}
		found.AddError("path-mtu-too-small", plan.GatewaySubject(p.ID()),
			fmt.Sprintf("the path to gateway %s carries packets of %d bytes inside the tunnel, but not of %d, which IPv6 needs; larger packets are lost",
				p.ID(), size, plan.MinMTU),
			fmt.Sprintf("raise the MTU of the network between both gateways to %d or more, or let fragments of UDP pass", plan.MinMTU+plan.MaxOverhead))
	}
}
