package interference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/tunnel"
)

// Filters determines which packets of Meshway the rules of other programs drop.
type Filters struct {
	Paths
	Tunnels  []tunnel.Observed
	Firewall routes.Firewall
	Others   ruleset.Ruleset
}

// purpose is what a packet of Meshway is for.
type purpose int

const (
	fromPods purpose = iota
	toPods
	fromHost
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
	case fromHost:
		return "packets of this host to other datacenters"
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
func (p purpose) out() bool {
	return p == fromPods || p == fromHost || p == livenessOut || p == controlOut
}

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
			found = addFiltered(found, filtered{chain: d.Chain, by: d.By, some: d.Some, unanswered: unanswered}, fl)
		}
		for _, d := range later {
			if !slices.ContainsFunc(drops, func(e ruleset.Drop) bool { return e.Chain.String() == d.Chain.String() }) {
				found = addFiltered(found, filtered{chain: d.Chain, by: d.By, some: d.Some}, fl)
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
	// protocols are those of the packets of pods that are dropped.
	protocols map[purpose][]string
}

func addFiltered(found []filtered, f filtered, fl flow) []filtered {
	if fl.purpose == fromHost && f.some {
		return found // the host's own packets are restricted for its reasons
	}
	i := slices.IndexFunc(found, func(g filtered) bool {
		return g.chain.String() == f.chain.String() && g.by == f.by && g.some == f.some && g.unanswered == f.unanswered
	})
	if i < 0 {
		f.protocols = map[purpose][]string{}
		i, found = len(found), append(found, f)
	}
	if !slices.Contains(found[i].purposes, fl.purpose) {
		found[i].purposes = append(found[i].purposes, fl.purpose)
		slices.Sort(found[i].purposes)
	}
	if name := protocolNames()[fl.packet.Protocol]; !slices.Contains(found[i].protocols[fl.purpose], name) {
		found[i].protocols[fl.purpose] = append(found[i].protocols[fl.purpose], name)
	}
	return found
}

// protocolNames are the names of the protocols of packets of pods.
func protocolNames() map[string]string {
	return map[string]string{"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "ipv6-icmp": "ICMP"}
}

func (f Filters) problem(d filtered) plan.Problem {
	subject := fmt.Sprintf("chain %s of table %q", d.chain.Name, d.chain.Table)
	severity, message := plan.Error, fmt.Sprintf("%s drops %s: the cause is %s", subject, d.listed(), d.by)
	switch {
	case d.some:
		severity, message = plan.Warning, fmt.Sprintf("%s may drop some %s: the cause is %s", subject, d.listed(), d.by)
	case d.unanswered:
		severity, message = plan.Warning, fmt.Sprintf("%s drops %s unless they answer packets in the opposite direction: the cause is %s", subject, d.listed(), d.by)
	}
	return plan.Problem{Code: "traffic-filtered", Severity: severity, Subject: subject, Message: message, Remedy: f.passing(d)}
}

// listed returns what is dropped: for pods, with the protocols if others pass.
func (d filtered) listed() string {
	var words []string
	for _, p := range d.purposes {
		text := p.String()
		if few := d.protocols[p]; !d.some && (p == fromPods || p == toPods) && len(few) < len(podProtocols(false)) {
			text = joined(few) + " " + text
		}
		words = append(words, text)
	}
	return joined(words)
}

func joined(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
