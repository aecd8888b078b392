package interference

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/tunnel"
)

// maxFlows bounds the packets that are compared with the rules of other programs.
const maxFlows = 256

// Filters determines which packets of Meshway the rules of other programs drop.
type Filters struct {
	Paths
	Tunnels  []tunnel.Observed
	Firewall routes.Firewall
	Others   ruleset.Ruleset
}

// flow is a packet that stands for all of its purpose.
type flow struct {
	purpose purpose
	packet  ruleset.Packet
	// answers is set if packets of both directions have the same ports, so that
	// sending one lets the other one pass.
	answers bool
}

// purpose is what a packet of Meshway is for.
type purpose int

const (
	fromPods purpose = iota
	toPods
	tunnelsIn
	tunnelsOut
	livenessIn
	livenessOut
	controlIn
	controlOut
)

func (p purpose) String() string {
	switch p {
	case fromPods:
		return "packets of pods to other datacenters"
	case toPods:
		return "packets of other datacenters to pods"
	case tunnelsIn:
		return "WireGuard packets of other gateways"
	case tunnelsOut:
		return "WireGuard packets to other gateways"
	case livenessIn:
		return "liveness packets from the tunnels"
	case livenessOut:
		return "liveness packets to the tunnels"
	case controlIn:
		return "connections from the tunnels to the control port"
	default:
		return "connections through the tunnels to control ports"
	}
}

// out reports whether the packets leave by a tunnel.
func (p purpose) out() bool { return p == fromPods || p == livenessOut || p == controlOut }

// Problems returns one problem for each rule and policy that drops packets: all of them,
// or some.
func (f Filters) Problems() []plan.Problem {
	var found []filtered
	for _, fl := range f.flows() {
		drops := f.Others.Drops(fl.packet)
		fl.packet.States = []string{"established"}
		later := f.Others.Drops(fl.packet)
		for _, d := range drops {
			unanswered := fl.answers && !d.Some && !slices.ContainsFunc(later, func(e ruleset.Drop) bool { return !e.Some && e.Chain.String() == d.Chain.String() })
			found = addFiltered(found, filtered{chain: d.Chain, by: d.By, some: d.Some, unanswered: unanswered}, fl.purpose)
		}
		for _, d := range later {
			if !slices.ContainsFunc(drops, func(e ruleset.Drop) bool { return e.Chain.String() == d.Chain.String() }) {
				found = addFiltered(found, filtered{chain: d.Chain, by: d.By, some: d.Some}, fl.purpose)
			}
		}
	}
	var out []plan.Problem
	for _, each := range found {
		out = append(out, f.problem(each))
	}
	return out
}

// filtered is a rule or policy that drops packets.
type filtered struct {
	chain      ruleset.Chain
	by         string
	some       bool      // of the packets
	unanswered bool      // only those that do not answer packets in the opposite direction
	purposes   []purpose // sorted
}

func addFiltered(found []filtered, f filtered, p purpose) []filtered {
	i := slices.IndexFunc(found, func(g filtered) bool {
		return g.chain.String() == f.chain.String() && g.by == f.by && g.some == f.some && g.unanswered == f.unanswered
	})
	if i < 0 {
		i, found = len(found), append(found, f)
	}
	if !slices.Contains(found[i].purposes, p) {
		found[i].purposes = append(found[i].purposes, p)
		slices.Sort(found[i].purposes)
	}
	return found
}

func (f Filters) problem(d filtered) plan.Problem {
	subject := fmt.Sprintf("chain %s of table %q", d.chain.Name, d.chain.Table)
	severity, message := plan.Error, fmt.Sprintf("%s drops %s: the cause is %s", subject, listed(d.purposes), d.by)
	switch {
	case d.some:
		severity, message = plan.Warning, fmt.Sprintf("%s may drop some %s: the cause is %s", subject, listed(d.purposes), d.by)
	case d.unanswered:
		severity, message = plan.Warning, fmt.Sprintf("%s drops %s unless they answer packets in the opposite direction: the cause is %s", subject, listed(d.purposes), d.by)
	}
	return plan.Problem{Code: "traffic-filtered", Severity: severity, Subject: subject, Message: message, Remedy: f.passing(d)}
}

func listed(purposes []purpose) string {
	var words []string
	for _, p := range purposes {
		words = append(words, p.String())
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// flows returns the packets of all purposes.
func (f Filters) flows() []flow {
	out := f.podFlows()
	for _, t := range f.Tunnels {
		for _, p := range t.Peers {
			if p.Endpoint.IsValid() {
				out = append(out, f.tunnelFlows(t, p.Endpoint)...)
			}
		}
	}
	for _, s := range f.Sessions {
		out = append(out, f.sessionFlows(s)...)
	}
	return out[:min(len(out), maxFlows)]
}

// podFlows returns a connection in each direction for each datacenter and family,
// on the lane from which the datacenter's packets are accepted.
func (f Filters) podFlows() []flow {
	states := []string{"new"}
	if len(f.Firewall.Transit.Devices) > 0 {
		states = []string{"new", "untracked"}
	}
	hooks, from := []string{"prerouting", "forward", "postrouting"}, f.pods()
	var out []flow
	for _, dc := range f.Datacenters {
		for _, family := range []routes.Family{routes.IPv4, routes.IPv6} {
			own, here := from.first(family)
			lane, network, ok := f.accepted(dc, family)
			if !here || !ok {
				continue
			}
			remote := inside(network)
			link := []string{own.device}
			ports := f.bridgePorts(link)
			out = append(out,
				flow{purpose: fromPods, packet: ruleset.Packet{Hooks: hooks, In: link, InPorts: ports, Out: []string{lane}, Source: own.address, Destination: remote, Flow: ruleset.Flow{Sources: own.network, Destinations: network}, Protocol: "tcp", States: states}},
				flow{purpose: toPods, packet: ruleset.Packet{Hooks: hooks, In: []string{lane}, Bare: true, Out: link, OutPorts: ports, Source: remote, Destination: own.address, Flow: ruleset.Flow{Sources: network, Destinations: own.network}, Protocol: "tcp", States: states}})
		}
	}
	return out
}

// accepted returns a prefix of a datacenter whose packets are accepted from a lane, and the
// device of the lane.
func (f Filters) accepted(dc catalog.Datacenter, family routes.Family) (device string, network netip.Prefix, ok bool) {
	for _, prefix := range dc.Prefixes {
		if routes.FamilyOf(prefix.CIDR.Addr()) != family {
			continue
		}
		for _, lane := range f.Firewall.Lanes {
			if prefixset.CoveredBy(lane.Sources, prefix.CIDR) {
				return lane.Device, prefix.CIDR, true
			}
		}
	}
	return "", netip.Prefix{}, false
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
