package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// Severity is the severity of a problem.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // works, but degraded or at risk
	Error   Severity = "error"   // a promised function does not work
)

// Problem is a condition that an operator should correct.
type Problem struct {
	Code     string   `json:"code"` // stable, for programs: "prefix-overlap"
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the object concerned: "datacenter west"
	Message  string   `json:"message"` // a sentence that contains the subject
	Remedy   string   `json:"remedy"`  // what to do, as an instruction
}

// CompareProblems orders errors before warnings, then by code, subject and message.
func CompareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Message, b.Message))
}

func rank(s Severity) int {
	if s == Error {
		return 0
	}
	return 1
}

// clockTolerance is how far a handshake may be in the future before the clock
// of this host is suspected.
const clockTolerance = time.Minute

// problems collects the problems of a plan.
type problems []Problem

func (p *problems) addError(code, subject, message, remedy string) {
	*p = append(*p, Problem{Code: code, Severity: Error, Subject: subject, Message: message, Remedy: remedy})
}

func (p *problems) addWarning(code, subject, message, remedy string) {
	*p = append(*p, Problem{Code: code, Severity: Warning, Subject: subject, Message: message, Remedy: remedy})
}

func (p problems) sorted() []Problem {
	return slices.SortedFunc(slices.Values(p), CompareProblems)
}

func gatewaySubject(id catalog.GatewayID) string { return "gateway " + string(id) }

func datacenterSubject(name catalog.DatacenterName) string { return "datacenter " + string(name) }

func nodeSubject(name string) string { return "node " + name }

// diagnose reports problems that do not follow from a single record.
func diagnose(in Inputs, topo topology, found *problems) {
	if checkCopies(topo, found) {
		return // whatever else is observed follows from it
	}
	checkReachability(in, topo, found)
	checkCandidates(in, topo, found)
	checkMTU(in, found)
	checkIPv6(in.Host, gatewaySubject(topo.self.ID()), in.Catalog.Federation.Overlay, topo.others, found)
	checkPathMTUs(in, topo, found)
	checkEndpoints(topo, found)
	checkClock(in, topo, found)
	checkVersions(topo, found)
	checkAllowed(in.Catalog, found)
	checkDrain(in, topo, found)
}

// checkCopies reports gateways that two hosts run, and returns whether this is one
// of the hosts. Both have the same key, so each packet may reach either of them.
func checkCopies(topo topology, found *problems) (self bool) {
	const remedy = "stop meshd on the host that is the copy, remove its dataDir, and let it join as a gateway of its own"
	for _, p := range topo.peers() {
		self = self || p.session.SelfCopied
		if p.session.PeerCopied {
			found.addError("gateway-copied", gatewaySubject(p.ID()),
				fmt.Sprintf("two hosts run gateway %s with the same key, so that its packets reach the wrong one at times", p.ID()), remedy)
		}
	}
	if self {
		found.addError("gateway-copied", gatewaySubject(topo.self.ID()),
			fmt.Sprintf("another host runs this gateway, %s, with the same key, so that packets reach the wrong one at times", topo.self.ID()), remedy)
	}
	return self
}

// checkDrain reports a drained gateway, so that it is not forgotten.
func checkDrain(in Inputs, topo topology, found *problems) {
	if in.Drain == Active {
		return
	}
	found.addWarning("draining", gatewaySubject(topo.self.ID()),
		fmt.Sprintf("gateway %s is drained; other gateways carry its traffic", topo.self.ID()),
		"run meshctl undrain when the maintenance is finished")
}

// checkReachability reports datacenters and gateways whose tunnels are down.
// When several datacenters are unreachable and no other is left, the cause is
// most likely on this side, and one problem replaces theirs.
func checkReachability(in Inputs, topo topology, found *problems) {
	if checkLivenessPort(in, topo, found) {
		return
	}
	var lost problems
	var since time.Time
	for _, dc := range topo.others {
		at, all := downSince(dc)
		if !all {
			reportGatewaysDown(in, topo, dc, found)
			continue
		}
		if !slices.ContainsFunc(dc.gateways, func(p peer) bool { return !explained(in, topo, p) }) {
			continue
		}
		if at.After(since) {
			since = at
		}
		lost.addError("datacenter-unreachable", datacenterSubject(dc.name),
			fmt.Sprintf("all tunnels to datacenter %s %s", dc.name, sinceText(at, "are down", "have been down")),
			fmt.Sprintf("check that meshd runs there and that UDP passes between the gateways (meshctl status on a gateway of %s)", dc.name))
	}
	if len(lost) > 1 && len(lost) == len(topo.others) {
		found.addError("cut-off", gatewaySubject(topo.self.ID()),
			fmt.Sprintf("all tunnels of gateway %s %s; most likely this gateway itself is cut off",
				topo.self.ID(), sinceText(since, "are down", "have been down")),
			"check this host's uplink, its firewall (UDP out and in at wireguard.port) and its clock")
		return
	}
	*found = append(*found, lost...)
}

// checkLivenessPort reports a process that has the port of liveness: no tunnel is
// known to work then.
func checkLivenessPort(in Inputs, topo topology, found *problems) bool {
	for _, s := range in.Observed.Sessions {
		if s.PortOwner != "" {
			found.addError("liveness-port-in-use", gatewaySubject(topo.self.ID()),
				fmt.Sprintf("gateway %s cannot check its tunnels, so that none is used: UDP port %d is in use by %s", topo.self.ID(), in.Config.Liveness.Port, s.PortOwner),
				"stop that process, or set liveness.port to the same other port on all gateways of the federation")
			return true
		}
	}
	return false
}

// explained reports whether another problem is the cause of a tunnel that is down.
func explained(in Inputs, topo topology, p peer) bool {
	return p.session.PeerCopied || otherFamilies(in, topo, p) != ""
}

// downSince reports whether all gateways of a datacenter are down, and since
// when the last of them is.
func downSince(dc remoteDatacenter) (since time.Time, all bool) {
	for _, p := range dc.gateways {
		if p.state != down {
			return time.Time{}, false
		}
		if p.session.Since.After(since) {
			since = p.session.Since
		}
	}
	return since, len(dc.gateways) > 0
}

// reportGatewaysDown reports the gateways that are down in a datacenter that
// is reachable.
func reportGatewaysDown(in Inputs, topo topology, dc remoteDatacenter, found *problems) {
	for _, p := range dc.gateways {
		if p.state == down && !explained(in, topo, p) {
			found.addWarning("gateway-unreachable", gatewaySubject(p.ID()),
				fmt.Sprintf("the tunnel to gateway %s %s; traffic uses the other gateways",
					p.ID(), sinceText(p.session.Since, "is down", "has been down")),
				"check that meshd runs there and that UDP passes between both gateways")
		}
	}
}

// sinceText returns the perfect tense with the time, or the present tense if
// the time is not known. It has no duration: the message of a problem must not
// change while the problem lasts.
func sinceText(t time.Time, present, perfect string) string {
	if t.IsZero() {
		return present
	}
	return perfect + " since " + t.UTC().Format(time.RFC3339)
}

// checkMTU compares the MTU of the tunnels with that of the underlay.
func checkMTU(in Inputs, found *problems) {
	underlay := in.Host.UnderlayMTU
	desired := mtu(in.Config, in.Host)
	if underlay == 0 || desired <= underlay-minOverhead {
		return
	}
	remedy := fmt.Sprintf("set wireguard.mtu to %d or less", underlay-maxOverhead)
	if underlay-maxOverhead < minMTU {
		remedy = fmt.Sprintf("raise the MTU of this host's links to %d or more", minMTU+maxOverhead)
	}
	interfaces := "interfaces " + in.Config.WireGuard.Interface + "*"
	found.addWarning("mtu-too-large", interfaces,
		fmt.Sprintf("the MTU %d of %s and the %d to %d bytes of WireGuard exceed the underlay's %d; large packets are fragmented or lost",
			desired, interfaces, minOverhead, maxOverhead, underlay),
		remedy)
}

// checkEndpoints reports remote prefixes that contain the endpoint of another
// datacenter's gateway. Packets of the tunnels bypass our table by their mark, so
// that its tunnel works, but one of the two datacenters announces what it does
// not have.
func checkEndpoints(topo topology, found *problems) {
	owners := map[netip.Prefix]catalog.DatacenterName{}
	for _, dc := range topo.others {
		for _, p := range dc.prefixes {
			owners[p] = dc.name
		}
	}
	for _, p := range topo.peers() {
		e := p.tunnel.Endpoint.Addr().Unmap()
		for bits := e.BitLen(); bits > 0; bits-- {
			prefix := netip.PrefixFrom(e, bits).Masked()
			dc, ok := owners[prefix]
			if !ok {
				continue
			}
			if dc != p.Datacenter {
				found.addWarning("prefix-covers-endpoint", datacenterSubject(dc),
					fmt.Sprintf("prefix %v of datacenter %s contains %v, at which gateway %s is reached", prefix, dc, e, p.ID()),
					fmt.Sprintf("remove the range from the prefixes of %s, or correct wireguard.advertise on %s", dc, p.ID()))
			}
			break
		}
	}
}

// checkClock reports a handshake in the future. Peers reject handshakes whose
// time stamp is older than the last one (WireGuard paper, §5.4.2).
func checkClock(in Inputs, topo topology, found *problems) {
	for _, p := range topo.peers() {
		if p.tunnel.LastHandshake.Sub(in.Now) > clockTolerance {
			found.addError("clock-behind", gatewaySubject(topo.self.ID()),
				fmt.Sprintf("the clock of gateway %s was set back: its last handshake with %s is in the future, and peers will refuse new ones",
					topo.self.ID(), p.ID()),
				"set the clock (timedatectl status shows it); the tunnels recover by themselves")
			return
		}
	}
}

// checkAllowed reports prefixes that the catalog would refuse today, and which stay
// because they were announced before. An earlier build cannot allow them.
func checkAllowed(c Catalog, found *problems) {
	if len(c.Datacenters) < 2 || catalog.LevelsOf(c.Gateways).Common < catalog.LevelAllowed {
		return
	}
	gateways := map[catalog.DatacenterName][]catalog.Gateway{}
	for _, g := range c.Gateways {
		gateways[g.Datacenter] = append(gateways[g.Datacenter], g)
	}
	for _, dc := range c.Datacenters {
		outside := allowlist.Outside(c.Settings, dc, gateways[dc.Name])
		if len(outside) == 0 {
			continue
		}
		const most = 8
		list := strings.Join(outside[:min(len(outside), most)], " ")
		found.addWarning("prefix-not-allowed", datacenterSubject(dc.Name),
			fmt.Sprintf("%d prefixes of datacenter %s are outside the private ranges, and no other datacenter allows them: %s", len(outside), dc.Name, list),
			fmt.Sprintf("run meshctl federation allow %s on a gateway of another datacenter, or remove the prefixes in %s", list, dc.Name))
	}
}

// checkVersions reports that gateways run different versions of meshd.
func checkVersions(topo topology, found *problems) {
	running := map[string][]string{}
	if topo.self.Version != "" {
		running[topo.self.Version] = []string{string(topo.self.ID())}
	}
	for _, p := range topo.peers() {
		if p.Version != "" {
			running[p.Version] = append(running[p.Version], string(p.ID()))
		}
	}
	if len(running) < 2 {
		return
	}
	var text []string
	for version, ids := range running {
		slices.Sort(ids)
		text = append(text, fmt.Sprintf("%s on %s", version, strings.Join(ids, " ")))
	}
	slices.Sort(text)
	found.addWarning("version-skew", "federation",
		"the gateways of the federation run different versions of meshd: "+strings.Join(text, ", "),
		"finish the upgrade; new features are enabled when all gateways run the same version")
}
