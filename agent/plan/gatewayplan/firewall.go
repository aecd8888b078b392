package gatewayplan

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/routes"
)

// firewall restricts source addresses: a lane accepts only those of the
// datacenters that it connects, and other devices accept none of them.
func firewall(in plan.Inputs, topo topology, m *Memo) routes.Firewall {
	m.sources = m.sources.of(topo)
	fw := routes.Firewall{
		Local:       prefixset.Aggregate(topo.own.Accepted),
		ControlPort: in.Config.Control.Listen.Port(),
		Mark:        in.Config.Routing.Mark,
	}
	fw.PeerControlPorts = peerControlPorts(topo, fw.ControlPort)
	for n := range topo.lanes() {
		fw.Lanes = append(fw.Lanes, routes.Lane{Device: plan.LaneDevice(in.Config, n), Sources: m.sources.lanes[n]})
		fw.TunnelPorts = append(fw.TunnelPorts, in.Config.WireGuard.Port+uint16(n))
	}
	if in.Config.Routing.Confine {
		fw.Confine = routes.Confine{Address: topo.self.Overlay, LivenessPort: in.Config.Liveness.Port}
		for _, l := range fw.Lanes {
			fw.Confine.Lanes = append(fw.Confine.Lanes, l.Device)
		}
		slices.Sort(fw.Confine.Lanes)
	}
	if l, ok := nodeFirewallLane(in, topo); ok {
		fw.Lanes = append(fw.Lanes, l)
	}
	fw.Remote = prefixset.Union(m.sources.remote, topo.withdrawn)
	for _, f := range routing.Families() {
		for _, n := range newSiblingNexthops(topo, f).nexthops {
			fw.Hops = append(fw.Hops, routes.Hop{Device: n.Device, Address: n.Via})
		}
	}
	routing.SortHops(fw.Hops)
	fw.TrustedDevices, fw.Transit = trustedIngressDevices(in, topo), transit(in, topo)
	if len(fw.Transit.Devices) > 0 {
		fw.NodePortSNAT = routing.NodePortSNAT(topo.own.ServicePrefixes(), func(f routes.Family) netip.Addr { return topo.sourceAddress(in.Host, f) })
	}
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}

// remoteOnly returns aggregated prefixes of other datacenters without the ranges that
// stay local. The overlay addresses of gateways stay in.
func (topo topology) remoteOnly(all []netip.Prefix) []netip.Prefix {
	if len(topo.decision.Local) == 0 {
		return all
	}
	out := prefixset.Subtract(all, topo.decision.Local)
	for _, p := range topo.peers() {
		if prefixset.CoveredBy(all, prefixset.Host(p.Overlay)) {
			out = append(out, prefixset.Host(p.Overlay))
		}
	}
	return prefixset.Aggregate(out)
}

// guarded returns the ranges to which no packet leaves this host unencrypted, aggregated.
func (topo topology) guarded() []netip.Prefix {
	return prefixset.Union(topo.decision.Used, topo.withdrawn)
}

// peerControlPorts returns the control ports of peers that differ from the own
// one, sorted.
func peerControlPorts(topo topology, own uint16) []uint16 {
	var ports []uint16
	for _, p := range topo.peers() {
		for _, hostport := range p.Controls {
			port, err := strconv.ParseUint(hostport[strings.LastIndex(hostport, ":")+1:], 10, 16)
			if err == nil && port != 0 && uint16(port) != own {
				ports = append(ports, uint16(port))
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
