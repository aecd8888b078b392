package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// The bounds of the addresses that a gateway advertises. Others try them in turn,
// so that the best few are found sooner than all.
const (
	maxAdvertised = 8
	// minAdvertised are of each address family, if there are as many: some of the
	// others may have that family only.
	minAdvertised = 2
)

// Place is where an address of the host is.
type Place struct {
	Device string
	Kind   DeviceKind
	// Unstable is set for an address that is not to be used for new connections:
	// deprecated, tentative or temporary (RFC 4862, RFC 8981).
	Unstable bool
}

// DeviceKind is what a device connects the host to.
type DeviceKind int

// The kinds of devices.
const (
	Physical DeviceKind = iota // other hosts: a network adapter, or a bridge, VLAN or bond of some
	Loopback                   // nothing: its addresses are those of the host on all links
	Virtual                    // containers or virtual machines of this host, or another VPN
)

// Advertisement returns the WireGuard endpoints and control addresses at which
// others reach this gateway, in the order in which they try: those of the
// configuration, or else the best addresses of the host (see underlayAddresses).
func Advertisement(cfg config.Config, site Site, host Host) (endpoints, controls []string) {
	endpoints, controls = cfg.WireGuard.Advertise, cfg.Control.Advertise
	underlay := underlayAddresses(site, host)
	if len(endpoints) == 0 {
		endpoints = withPort(underlay, cfg.WireGuard.Port)
	}
	if len(controls) == 0 {
		controls = withPort(underlay, cfg.Control.Listen.Port())
	}
	return endpoints, controls
}

// underlayAddresses returns the addresses at which others may reach this host, best
// first: those that the cluster has of its node (the external ones first, which the
// host itself may not have), then those of the host outside the pod and service
// prefixes. Addresses that only this host uses, on bridges of containers for
// instance, are left out unless there is no other: they come and go, and other
// hosts have the same ones.
func underlayAddresses(site Site, host Host) []netip.Addr {
	ranks := map[netip.Addr]int{} // a lower one is better; those of the cluster have 0
	list := slices.Clone(site.Addresses)
	for _, addr := range host.Addresses {
		if slices.Contains(site.Addresses, addr) || host.Places[addr].Unstable || !outsidePods(site.Prefixes, addr) {
			continue
		}
		ranks[addr] = rankAddress(host, addr)
		list = append(list, addr)
	}
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return cmp.Compare(ranks[a], ranks[b]) })
	if i := slices.IndexFunc(list, func(a netip.Addr) bool { return ranks[a] == rankVirtual }); i > 0 {
		list = list[:i]
	}
	return bound(list)
}

// The ranks of addresses, best first.
const (
	rankRouter       = iota + 1 // in the network of the router of a default route
	rankDefaultRoute            // the device has a default route of the family
	rankPhysical
	rankLoopback
	rankVirtual
)

func rankAddress(host Host, addr netip.Addr) int {
	place := host.Places[addr]
	rank := map[DeviceKind]int{Physical: rankPhysical, Loopback: rankLoopback, Virtual: rankVirtual}[place.Kind]
	for _, r := range host.Routes {
		switch {
		case r.Drop != "" || r.Device == "" || r.Device != place.Device:
		case r.Prefix.Bits() == 0 && sharesLink(host, r, addr):
			return rankRouter
		case r.Prefix.Bits() == 0 && r.Prefix.Addr().Is4() == addr.Is4():
			rank = min(rank, rankDefaultRoute)
		case r.Prefix.Bits() == 0 || r.Via.IsValid():
			rank = min(rank, rankPhysical) // there are routers behind the device
		}
	}
	return rank
}

// sharesLink reports whether an address and the router of a route are in one network
// of the route's device.
func sharesLink(host Host, r routes.HostRoute, addr netip.Addr) bool {
	return r.Via.IsValid() && slices.ContainsFunc(host.Links, func(l Link) bool {
		return l.Device == r.Device && slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool {
			return p.Contains(r.Via) && p.Contains(addr)
		})
	})
}

// outsidePods reports whether an address is in none of the pod and service prefixes.
func outsidePods(prefixes []catalog.Prefix, addr netip.Addr) bool {
	return !addr.IsLoopback() && !slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool {
		return p.Kind != catalog.NodePrefix && p.CIDR.Contains(addr)
	})
}

// bound returns the first maxAdvertised addresses of a list, with minAdvertised of
// each family.
func bound(list []netip.Addr) []netip.Addr {
	if len(list) <= maxAdvertised {
		return list
	}
	total := map[bool]int{} // by Is4
	for _, a := range list {
		total[a.Is4()]++
	}
	room := map[bool]int{}
	for _, is4 := range []bool{true, false} {
		room[is4] = maxAdvertised - min(total[!is4], minAdvertised)
	}
	var out []netip.Addr
	for _, a := range list {
		if len(out) < maxAdvertised && room[a.Is4()] > 0 {
			room[a.Is4()]--
			out = append(out, a)
		}
	}
	return out
}

func withPort(addresses []netip.Addr, port uint16) []string {
	var hostports []string
	for _, addr := range addresses {
		hostports = append(hostports, netip.AddrPortFrom(addr, port).String())
	}
	return hostports
}

// FamiliesOf returns how well this host reaches the addresses of each family: 0 not
// at all, 1 it has an address on the underlay, 2 also a default route. If no address
// is known, neither is a family.
func FamiliesOf(h Host, prefixes []catalog.Prefix) map[routes.Family]int {
	reach := map[routes.Family]int{}
	for _, a := range underlayAddresses(Site{Prefixes: prefixes}, h) {
		f, rank := routes.FamilyOf(a), 1
		if rankAddress(h, a) <= rankDefaultRoute {
			rank = 2
		}
		if !a.IsLinkLocalUnicast() {
			reach[f] = max(reach[f], rank)
		}
	}
	if len(reach) == 0 {
		return map[routes.Family]int{routes.IPv4: 1, routes.IPv6: 1}
	}
	return reach
}
