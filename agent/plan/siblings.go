package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// sibling is another gateway of this datacenter.
type sibling struct {
	catalog.Gateway
	links []siblingLink // how to reach it without a router, by family
}

// siblingLink is an address of a sibling on a link of this host.
type siblingLink struct {
	device  string
	address netip.Addr
}

// siblings are the other gateways of this datacenter, by index.
func siblings(in Inputs, topo topology) []sibling {
	var out []sibling
	for _, g := range sortedGateways(in.Catalog.Gateways) {
		if g.Datacenter != topo.own.Name || g.ID() == in.Self {
			continue
		}
		s := sibling{Gateway: g}
		for _, at := range in.Endpoints[g.ID()] {
			if device, ok := in.Host.deviceTo(at.Addr()); ok {
				s.links = append(s.links, siblingLink{device, at.Addr()})
			}
		}
		slices.SortFunc(s.links, func(a, b siblingLink) int {
			return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.device, b.device))
		})
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b sibling) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// trustedIngressDevices are the devices by which siblings hand over what came out of
// their lanes for a pod of this host: their links, and what the CNI plugin
// carries packets in, which is how they reach pods here. A sibling on no link
// of ours reaches us through routers, by any device of the underlay.
func trustedIngressDevices(in Inputs, topo topology) []string {
	var devices []string
	for _, s := range siblings(in, topo) {
		devices = append(devices, in.Host.Overlays...)
		for _, l := range s.links {
			devices = append(devices, l.device)
		}
		if len(s.links) == 0 {
			devices = append(devices, in.Host.Underlay...)
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// transit says what a gateway only sees a half of: nothing, if it is alone.
func transit(in Inputs, topo topology) routes.Transit {
	from := trustedIngressDevices(in, topo)
	if len(from) == 0 {
		return routes.Transit{}
	}
	devices := slices.Concat(from, in.Host.Underlay, in.Host.Overlays, nodeDevices(in, topo))
	slices.Sort(devices)
	return routes.Transit{Devices: slices.Compact(devices), Services: servicePrefixes(topo)}
}

func servicePrefixes(topo topology) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range topo.own.Prefixes {
		if p.Kind == catalog.ServicePrefix && slices.Contains(topo.local, p.CIDR) {
			out = append(out, p.CIDR)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return aggregate(out)
}

// nodePortSNAT are seen as this host where it is not the only way back to them. In a
// family whose cluster IPs are not known they could not be told from those.
func nodePortSNAT(in Inputs, topo topology) routes.NodePortSNAT {
	v := routes.NodePortSNAT{ClusterIPs: servicePrefixes(topo)}
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		known := slices.ContainsFunc(v.ClusterIPs, func(p netip.Prefix) bool { return routes.FamilyOf(p.Addr()) == f })
		if a := sourceAddress(in, topo, f); known && a.IsValid() {
			v.Addresses = append(v.Addresses, a)
		}
	}
	if len(v.Addresses) == 0 {
		return routes.NodePortSNAT{}
	}
	return v
}

// siblingNexthops are the ways by siblings.
type siblingNexthops struct {
	nexthops []routes.Nexthop
	active   []uint32 // of them, those to siblings that are not drained, sorted
}

// preferred are the siblings in use; all, if none is.
func (b siblingNexthops) preferred() []uint32 {
	if len(b.active) > 0 {
		return b.active
	}
	return nexthopIDs(b.nexthops)
}

// newSiblingNexthops lead to the siblings: for the pods of this host, while none of
// its own lanes to a datacenter works. Whether a sibling's do is not known
// here; it drops what it cannot send on (routes.Transit).
func newSiblingNexthops(in Inputs, topo topology, f routes.Family) siblingNexthops {
	var b siblingNexthops
	for _, s := range siblings(in, topo) {
		i := slices.IndexFunc(s.links, func(l siblingLink) bool { return routes.FamilyOf(l.address) == f })
		id := routes.SiblingNexthopID(int(s.Index), f)
		taken := slices.ContainsFunc(b.nexthops, func(n routes.Nexthop) bool { return n.ID == id })
		if i < 0 || id == 0 || taken {
			continue
		}
		b.nexthops = append(b.nexthops, routes.Nexthop{ID: id, Family: f, Device: s.links[i].device, Via: s.links[i].address})
		if !s.Draining {
			b.active = append(b.active, id)
		}
	}
	slices.Sort(b.active)
	return b
}

// deviceTo finds the device on whose link an address of another host is.
func (h Host) deviceTo(a netip.Addr) (string, bool) {
	if slices.Contains(h.Addresses, a) {
		return "", false // it is our own
	}
	device, bits := "", -1
	for _, l := range h.Links {
		for _, p := range l.Prefixes {
			if p.Contains(a) && (p.Bits() > bits || p.Bits() == bits && l.Device < device) {
				device, bits = l.Device, p.Bits()
			}
		}
	}
	return device, bits >= 0
}
