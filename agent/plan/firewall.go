package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// firewall says what may come from where: out of a lane only addresses of the
// datacenters that it leads to, and from elsewhere none of those.
func firewall(in Inputs, m members) routes.Firewall {
	fw := routes.Firewall{
		Local:       widest(m.local),
		Remote:      []netip.Prefix{in.Catalog.Federation.Overlay},
		ControlPort: in.Config.Control.Listen.Port(),
	}
	for n := range m.lanes() {
		l := routes.Lane{Device: device(in, n)}
		for _, dc := range m.others {
			for _, p := range dc.gateways {
				if p.Index == n {
					l.Sources = append(l.Sources, sourcesOf(dc, p)...)
				}
			}
		}
		slices.SortFunc(l.Sources, comparePrefix)
		l.Sources = widest(l.Sources)
		fw.Lanes = append(fw.Lanes, l)
		fw.TunnelPorts = append(fw.TunnelPorts, in.Config.WireGuard.Port+uint16(n))
	}
	for _, dc := range m.others {
		fw.Remote = append(fw.Remote, dc.prefixes...)
	}
	slices.SortFunc(fw.Remote, comparePrefix)
	fw.Remote = widest(fw.Remote)
	fw.Siblings = siblings(in, m)
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}

// siblings are the devices that lead to other gateways of this datacenter:
// one of them may get from a tunnel what is for a pod of this host.
func siblings(in Inputs, m members) []string {
	var devices []string
	for _, g := range in.Catalog.Gateways {
		if g.Datacenter != m.own.Name || g.ID() == in.Self {
			continue
		}
		for _, at := range in.Endpoints[g.ID()] {
			if device, ok := in.Host.linkTo(at.Addr()); ok {
				devices = append(devices, device)
			}
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// linkTo finds the device on whose link an address of another host is.
func (h Host) linkTo(a netip.Addr) (string, bool) {
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
