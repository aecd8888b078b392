package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// firewall restricts source addresses: a lane accepts only those of the
// datacenters that it connects, and other devices accept none of them.
func firewall(in Inputs, topo topology) routes.Firewall {
	fw := routes.Firewall{
		Local:       aggregate(topo.own.accepted),
		ControlPort: in.Config.Control.Listen.Port(),
		Mark:        in.Config.Routing.Mark,
	}
	for n := range topo.lanes() {
		var sources []netip.Prefix
		for _, dc := range topo.others {
			for _, p := range dc.gateways {
				if p.Index == n {
					sources = append(sources, allowedIPs(dc, p)...)
				}
			}
		}
		fw.Lanes = append(fw.Lanes, routes.Lane{Device: LaneDevice(in.Config, n), Sources: topo.remoteOnly(sources)})
		fw.TunnelPorts = append(fw.TunnelPorts, in.Config.WireGuard.Port+uint16(n))
	}
	if l, ok := nodeFirewallLane(in, topo); ok {
		fw.Lanes = append(fw.Lanes, l)
	}
	remote := []netip.Prefix{in.Catalog.Federation.Overlay}
	for _, dc := range topo.others {
		remote = append(remote, dc.prefixes...)
	}
	fw.Remote = topo.remoteOnly(remote)
	fw.TrustedDevices, fw.Transit = trustedIngressDevices(in, topo), transit(in, topo)
	if len(fw.Transit.Devices) > 0 {
		fw.NodePortSNAT = nodePortSNAT(topo.own.servicePrefixes(), func(f routes.Family) netip.Addr { return topo.sourceAddress(in.Host, f) })
	}
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}

// remoteOnly aggregates prefixes of other datacenters without the ranges that
// stay local. The overlay addresses of gateways stay in.
func (topo topology) remoteOnly(prefixes []netip.Prefix) []netip.Prefix {
	all := aggregate(prefixes)
	out := subtract(all, topo.local)
	if len(topo.local) > 0 {
		for _, p := range topo.peers() {
			if covers(all, hostPrefix(p.Overlay)) {
				out = append(out, hostPrefix(p.Overlay))
			}
		}
	}
	return aggregate(out)
}
