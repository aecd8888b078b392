package gatewayplan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// sibling is another gateway of this datacenter.
type sibling struct {
	catalog.Gateway
	links []plan.LinkAddress // its addresses on links of this host, sorted
}

// siblings returns the other gateways of this datacenter, by index, given all sorted
// by ID.
func siblings(in plan.Inputs, gateways []catalog.Gateway) []sibling {
	var out []sibling
	for _, g := range gateways {
		if g.Datacenter != in.Self.Datacenter() || g.ID() == in.Self {
			continue
		}
		s := sibling{Gateway: g}
		for _, e := range in.Endpoints[g.ID()] {
			if device, ok := in.Host.DeviceTo(e.Addr()); ok {
				s.links = append(s.links, plan.LinkAddress{Device: device, Address: e.Addr()})
			}
		}
		slices.SortFunc(s.links, func(a, b plan.LinkAddress) int {
			return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Device, b.Device))
		})
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b sibling) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// trustedIngressDevices are the devices on which packets of other datacenters
// are accepted from siblings, which forward what their lanes receive for a pod
// of this host: the links that siblings are on, and the devices of the CNI
// plugin, through which siblings reach pods. A sibling that shares no link
// reaches this host through routers, by any underlay device.
func trustedIngressDevices(in plan.Inputs, topo topology) []string {
	var devices []string
	for _, s := range topo.siblings {
		devices = append(devices, in.Host.Overlays...)
		for _, l := range s.links {
			devices = append(devices, l.Device)
		}
		if len(s.links) == 0 {
			devices = append(devices, in.Host.Underlay...)
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// transit returns the traffic of which this gateway may see only one
// direction. Without siblings there is none.
func transit(in plan.Inputs, topo topology) routes.Transit {
	trusted := trustedIngressDevices(in, topo)
	if len(trusted) == 0 {
		return routes.Transit{}
	}
	devices := slices.Concat(trusted, in.Host.Underlay, in.Host.Overlays, nodeDevices(in, topo))
	slices.Sort(devices)
	return routes.Transit{Devices: slices.Compact(devices), Services: topo.own.ServicePrefixes()}
}

// siblingNexthops are the nexthops to siblings in one family.
type siblingNexthops struct {
	nexthops []routes.Nexthop
	active   []uint32 // ids of those to siblings that are not drained, sorted
}

// newSiblingNexthops returns the nexthops that pods of this host use while no
// own lane to a datacenter works. Whether the lanes of a sibling work is not
// known here; a sibling drops what it cannot forward (routes.Transit).
func newSiblingNexthops(topo topology, f routes.Family) siblingNexthops {
	var out siblingNexthops
	for _, s := range topo.siblings {
		i := slices.IndexFunc(s.links, func(l plan.LinkAddress) bool { return routes.FamilyOf(l.Address) == f })
		id := routes.SiblingNexthopID(int(s.Index), f)
		taken := slices.ContainsFunc(out.nexthops, func(n routes.Nexthop) bool { return n.ID == id })
		if i < 0 || id == 0 || taken {
			continue
		}
		out.nexthops = append(out.nexthops, routes.Nexthop{ID: id, Family: f, Device: s.links[i].Device, Via: s.links[i].Address})
		if !s.Draining {
			out.active = append(out.active, id)
		}
	}
	slices.Sort(out.active)
	return out
}

// preferred returns the ids of the nexthops to active siblings, or of all if
// none is active.
func (s siblingNexthops) preferred() []uint32 {
	if len(s.active) > 0 {
		return s.active
	}
	var ids []uint32
	for _, n := range s.nexthops {
		ids = append(ids, n.ID)
	}
	slices.Sort(ids)
	return ids
}
