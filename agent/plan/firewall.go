package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// firewall says what may come from where: out of a lane only addresses of the
// datacenters that it leads to, and from elsewhere none of those.
func firewall(in Inputs, topo topology) routes.Firewall {
	fw := routes.Firewall{
		Local:       aggregate(topo.local),
		Remote:      []netip.Prefix{in.Catalog.Federation.Overlay},
		ControlPort: in.Config.Control.Listen.Port(),
	}
	for n := range topo.lanes() {
		l := routes.Lane{Device: device(in, n)}
		for _, dc := range topo.others {
			for _, p := range dc.gateways {
				if p.Index == n {
					l.Sources = append(l.Sources, allowedIPs(dc, p)...)
				}
			}
		}
		slices.SortFunc(l.Sources, netip.Prefix.Compare)
		l.Sources = aggregate(l.Sources)
		fw.Lanes = append(fw.Lanes, l)
		fw.TunnelPorts = append(fw.TunnelPorts, in.Config.WireGuard.Port+uint16(n))
	}
	if l, ok := nodeFirewallLane(in, topo); ok {
		fw.Lanes = append(fw.Lanes, l)
	}
	for _, dc := range topo.others {
		fw.Remote = append(fw.Remote, dc.prefixes...)
	}
	slices.SortFunc(fw.Remote, netip.Prefix.Compare)
	fw.Remote = aggregate(fw.Remote)
	fw.TrustedDevices, fw.Transit = trustedIngressDevices(in, topo), transit(in, topo)
	if len(fw.Transit.Devices) > 0 {
		fw.NodePortSNAT = nodePortSNAT(in, topo)
	}
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}
