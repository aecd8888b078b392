package interference

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/tunnel"
)

// The bounds of the packets that are compared with the rules of other programs.
const (
	maxPaths   = 32  // between pods and datacenters
	maxClasses = 128 // of peers and sessions
)

// flow is one packet of a purpose; it represents all packets of that purpose.
type flow struct {
	purpose    purpose
	packet     ruleset.Packet
	datacenter catalog.DatacenterName // of the destination; empty for the underlay and the overlay
	// answers is set if packets of both directions have the same ports, so that
	// sending one lets the other one pass.
	answers bool
}

// flows returns the packets of all purposes.
func (f Filters) flows() []flow {
	out, classes := f.podFlows(), f.Others.Classes()
	seen := map[string]bool{}
	add := func(class string, flows func() []flow) {
		if !seen[class] && len(seen) < maxClasses {
			seen[class], out = true, append(out, flows()...)
		}
	}
	for _, t := range f.Tunnels {
		for _, p := range t.Peers {
			if p.Endpoint.IsValid() {
				peer := p.Endpoint.Addr().Unmap()
				class := fmt.Sprint(t.Name, p.Endpoint.Port(), peer.Is4(), f.uplinks(peer), classes.OfPrefix(prefixset.Host(peer)))
				add(class, func() []flow { return f.tunnelFlows(t, p.Endpoint) })
			}
		}
	}
	for _, s := range f.Sessions {
		add(fmt.Sprint(s.Device, s.Local, classes.OfPrefix(prefixset.Host(s.Remote))), func() []flow { return f.sessionFlows(s) })
	}
	return out
}

// podProtocols are those of which packets of pods are compared.
func podProtocols(is6 bool) []string {
	if is6 {
		return []string{"tcp", "udp", "ipv6-icmp"}
	}
	return []string{"tcp", "udp", "icmp"}
}

// path is a way of packets between pods of this host and a datacenter.
type path struct {
	dc      catalog.DatacenterName
	lane    string
	network netip.Prefix // of the datacenter
	replies bool         // the network is of services, which begin no connections
	pod     pod
}

// paths returns one of the paths for each class that the rules of others distinguish, in
// the order of the datacenters: there may be many datacenters, prefixes and devices to pods.
func (f Filters) paths() []path {
	classes, links := f.Others.Classes(), f.pods()
	ends := map[routes.Family][]pod{}
	for family, all := range links {
		seen := map[string]bool{}
		for _, l := range all {
			class := fmt.Sprint(classes.OfDevice(l.device), "|", len(f.bridgePorts([]string{l.device})) > 0, "|", classes.OfPrefix(l.network))
			if !seen[class] {
				seen[class], ends[family] = true, append(ends[family], l)
			}
		}
	}
	var out []path
	seen := map[string]bool{}
	for _, dc := range f.Datacenters {
		for _, prefix := range dc.Prefixes {
			family, replies := routes.FamilyOf(prefix.CIDR.Addr()), prefix.Kind == catalog.ServicePrefix
			class := fmt.Sprint(family, replies, classes.OfPrefix(prefix.CIDR))
			for _, lane := range f.Firewall.Lanes {
				key := class + "|" + classes.OfDevice(lane.Device)
				if seen[key] || !prefixset.CoveredBy(lane.Sources, prefix.CIDR) {
					continue
				}
				seen[key] = true
				for _, end := range ends[family] {
					out = append(out, path{dc.Name, lane.Device, prefix.CIDR, replies, end})
				}
			}
		}
	}
	return out[:min(len(out), maxPaths)]
}

// podFlows returns the packets in each direction of a path, of each protocol, on the lane
// from which the datacenter's packets are accepted.
func (f Filters) podFlows() []flow {
	states := []string{"new"}
	if len(f.Firewall.Transit.Devices) > 0 {
		states = []string{"new", "untracked"}
	}
	hooks := []string{"prerouting", "forward", "postrouting"}
	var out []flow
	for _, p := range f.paths() {
		remote, link := inside(p.network), []string{p.pod.device}
		ports, back := f.bridgePorts(link), states
		if p.replies {
			back = []string{"established"}
		}
		for _, protocol := range podProtocols(remote.Is6()) {
			out = append(out,
				flow{purpose: fromPods, datacenter: p.dc, packet: ruleset.Packet{Hooks: hooks, In: link, InPorts: ports, Out: []string{p.lane}, Source: p.pod.address, Destination: remote, Flow: ruleset.Flow{Sources: p.pod.network, Destinations: p.network}, Protocol: protocol, States: states}},
				flow{purpose: toPods, datacenter: p.dc, packet: ruleset.Packet{Hooks: hooks, In: []string{p.lane}, Bare: true, Out: link, OutPorts: ports, Source: remote, Destination: p.pod.address, Flow: ruleset.Flow{Sources: p.network, Destinations: p.pod.network}, Protocol: protocol, States: back}})
		}
		out = append(out, flow{purpose: fromHost, datacenter: p.dc, packet: ruleset.Packet{Hooks: []string{"output", "postrouting"}, Out: []string{p.lane}, Destination: remote, Flow: ruleset.Flow{Destinations: p.network}, States: []string{"new"}}})
	}
	return out
}

// tunnelFlows returns the encrypted packets between a lane and a peer's endpoint.
func (f Filters) tunnelFlows(t tunnel.Observed, endpoint netip.AddrPort) []flow {
	peer := endpoint.Addr().Unmap()
	uplinks := f.uplinks(peer)
	ports := f.bridgePorts(uplinks)
	marked := func(mark uint32) ruleset.Flow {
		return ruleset.Flow{Mark: ruleset.Mark{Value: mark, Known: ruleset.AllBits}}
	}
	return []flow{
		{purpose: tunnelsIn, answers: true, packet: ruleset.Packet{
			Flow: marked(f.Firewall.Mark), Hooks: []string{"prerouting", "input"}, In: uplinks, InPorts: ports, Source: peer, Here: true,
			Protocol: "udp", DestinationPort: t.ListenPort, States: []string{"new"},
		}},
		{purpose: tunnelsOut, answers: true, packet: ruleset.Packet{
			Flow: marked(t.Mark), Hooks: []string{"output", "postrouting"}, Out: uplinks, OutPorts: ports, Destination: peer,
			Protocol: "udp", SourcePort: t.ListenPort, DestinationPort: endpoint.Port(), States: []string{"new"},
		}},
	}
}

// uplinks returns the devices by which packets to and from an address may pass: those of
// the underlay with a route to it, or all of them if none has.
func (f Filters) uplinks(to netip.Addr) []string {
	var out []string
	for _, device := range f.Host.Underlay {
		if slices.ContainsFunc(f.Host.Routes, func(r routes.HostRoute) bool { return r.Device == device && r.Prefix.Contains(to) }) {
			out = append(out, device)
		}
	}
	if len(out) == 0 {
		return f.Host.Underlay
	}
	return out
}

// bridgePorts returns the interfaces of which the devices consist, if all are bridges.
func (f Filters) bridgePorts(devices []string) []string {
	var out []string
	for _, device := range devices {
		i := slices.IndexFunc(f.Host.Links, func(l plan.Link) bool { return l.Device == device })
		if i < 0 || len(f.Host.Links[i].Ports) == 0 {
			return nil
		}
		out = append(out, f.Host.Links[i].Ports...)
	}
	return out
}

// sessionFlows returns the packets of liveness and of the catalog inside a tunnel.
func (f Filters) sessionFlows(s plan.SessionConfig) []flow {
	unmarked := ruleset.Mark{Known: ruleset.AllBits}
	in := ruleset.Packet{Flow: ruleset.Flow{Mark: unmarked}, Hooks: []string{"prerouting", "input"}, In: []string{s.Device}, Bare: true, Source: s.Remote, Destination: s.Local, Here: true, States: []string{"new"}}
	out := ruleset.Packet{Hooks: []string{"output", "postrouting"}, Out: []string{s.Device}, Source: s.Local, Destination: s.Remote, Flow: ruleset.Flow{User: "0", Mark: unmarked}, States: []string{"new"}}
	with := func(p ruleset.Packet, protocol string, port uint16) ruleset.Packet {
		p.Protocol, p.DestinationPort = protocol, port
		return p
	}
	return []flow{
		{purpose: livenessIn, packet: with(in, "udp", f.Config.Liveness.Port)},
		{purpose: livenessOut, packet: with(out, "udp", f.Config.Liveness.Port)},
		{purpose: controlIn, packet: with(in, "tcp", f.Config.Control.Listen.Port())},
		{purpose: controlOut, packet: with(out, "tcp", f.Config.Control.Listen.Port())},
	}
}
