package gatewayplan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// clockTolerance is how far a handshake may be in the future before the clock
// of this host is suspected.
const clockTolerance = time.Minute

// diagnose reports problems that do not follow from a single record.
func diagnose(in plan.Inputs, topo topology, found *plan.Problems) {
	if checkCopies(topo, found) {
		return // whatever else is observed follows from it
	}
	checkReachability(in, topo, found)
	checkCandidates(in, topo, found)
	checkMTU(in, found)
	acceptance.CheckIPv6(in.Host, plan.GatewaySubject(topo.self.ID()), in.Catalog.Federation.Overlay, topo.decision.Remotes, found)
	checkPathMTUs(in, topo, found)
	checkEndpoints(topo, found)
	checkClock(in, topo, found)
	checkVersions(topo, found)
	checkAllowed(in.Catalog, found)
	checkDrain(in, topo, found)
}

// checkCopies reports gateways that two hosts run, and returns whether this is one
// of the hosts. Both have the same key, so each packet may reach either of them.
func checkCopies(topo topology, found *plan.Problems) (self bool) {
	const remedy = "stop meshd on the host that is the copy, remove its dataDir, and let it join as a gateway of its own"
	for _, p := range topo.peers() {
		self = self || p.session.SelfCopied
		if p.session.PeerCopied {
			found.AddError("gateway-copied", plan.GatewaySubject(p.ID()),
				fmt.Sprintf("two hosts run gateway %s with the same key, so that its packets reach the wrong one at times", p.ID()), remedy)
		}
	}
	if self {
		found.AddError("gateway-copied", plan.GatewaySubject(topo.self.ID()),
			fmt.Sprintf("another host runs this gateway, %s, with the same key, so that packets reach the wrong one at times", topo.self.ID()), remedy)
	}
	return self
}

// checkDrain reports a drained gateway, so that it is not forgotten.
func checkDrain(in plan.Inputs, topo topology, found *plan.Problems) {
	if in.Drain == plan.Active {
		return
	}
	found.AddWarning("draining", plan.GatewaySubject(topo.self.ID()),
		fmt.Sprintf("gateway %s is drained; other gateways carry its traffic", topo.self.ID()),
		"run meshctl undrain when the maintenance is finished")
}

// checkReachability reports datacenters and gateways whose tunnels are down.
// When several datacenters are unreachable and no other is left, the cause is
// most likely on this side, and one problem replaces theirs.
func checkReachability(in plan.Inputs, topo topology, found *plan.Problems) {
	if checkLivenessPort(in, topo, found) {
		return
	}
	var lost plan.Problems
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
		lost.AddError("datacenter-unreachable", plan.DatacenterSubject(dc.Name),
			fmt.Sprintf("all tunnels to datacenter %s %s", dc.Name, sinceText(at, "are down", "have been down")),
			fmt.Sprintf("check that meshd runs there and that UDP passes between the gateways (meshctl status on a gateway of %s)", dc.Name))
	}
	if len(lost) > 1 && len(lost) == len(topo.others) {
		found.AddError("cut-off", plan.GatewaySubject(topo.self.ID()),
			fmt.Sprintf("all tunnels of gateway %s %s; most likely this gateway itself is cut off",
				topo.self.ID(), sinceText(since, "are down", "have been down")),
			"check this host's uplink, its firewall (UDP out and in at wireguard.port) and its clock")
		return
	}
	*found = append(*found, lost...)
}

// checkLivenessPort reports a process that has the port of liveness: no tunnel is
// known to work then.
func checkLivenessPort(in plan.Inputs, topo topology, found *plan.Problems) bool {
	for _, s := range in.Observed.Sessions {
		if s.PortOwner != "" {
			found.AddError("liveness-port-in-use", plan.GatewaySubject(topo.self.ID()),
				fmt.Sprintf("gateway %s cannot check its tunnels, so that none is used: UDP port %d is in use by %s", topo.self.ID(), in.Config.Liveness.Port, s.PortOwner),
				"stop that process, or set liveness.port to the same other port on all gateways of the federation")
			return true
		}
	}
	return false
}

// explained reports whether another problem is the cause of a tunnel that is down.
func explained(in plan.Inputs, topo topology, p peer) bool {
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
func reportGatewaysDown(in plan.Inputs, topo topology, dc remoteDatacenter, found *plan.Problems) {
	for _, p := range dc.gateways {
		if p.state == down && !explained(in, topo, p) {
			found.AddWarning("gateway-unreachable", plan.GatewaySubject(p.ID()),
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
func checkMTU(in plan.Inputs, found *plan.Problems) {
	underlay := in.Host.UnderlayMTU
	desired := plan.MTU(in.Config, in.Host)
	if underlay == 0 || desired <= underlay-plan.MinOverhead {
		return
	}
	remedy := fmt.Sprintf("set wireguard.mtu to %d or less", underlay-plan.MaxOverhead)
	if underlay-plan.MaxOverhead < plan.MinMTU {
		remedy = fmt.Sprintf("raise the MTU of this host's links to %d or more", plan.MinMTU+plan.MaxOverhead)
	}
	interfaces := "interfaces " + in.Config.WireGuard.Interface + "*"
	found.AddWarning("mtu-too-large", interfaces,
		fmt.Sprintf("the MTU %d of %s and the %d to %d bytes of WireGuard exceed the underlay's %d; large packets are fragmented or lost",
			desired, interfaces, plan.MinOverhead, plan.MaxOverhead, underlay),
		remedy)
}

// checkEndpoints reports remote prefixes that contain the endpoint of another
// datacenter's gateway. Packets of the tunnels bypass our table by their mark, so
// that its tunnel works, but one of the two datacenters announces what it does
// not have.
func checkEndpoints(topo topology, found *plan.Problems) {
	for _, p := range topo.peers() {
		e := p.tunnel.Endpoint.Addr().Unmap()
		if !e.IsValid() || !prefixset.CoveredBy(topo.decision.Used, prefixset.Host(e)) {
			continue
		}
		for bits := e.BitLen(); bits > 0; bits-- {
			prefix := netip.PrefixFrom(e, bits).Masked()
			owner, ok := topo.decision.Owner(prefix)
			if !ok {
				continue
			}
			if dc := topo.others[owner].Name; dc != p.Datacenter {
				found.AddWarning("prefix-covers-endpoint", plan.DatacenterSubject(dc),
					fmt.Sprintf("prefix %v of datacenter %s contains %v, at which gateway %s is reached", prefix, dc, e, p.ID()),
					fmt.Sprintf("remove the range from the prefixes of %s, or correct wireguard.advertise on %s", dc, p.ID()))
			}
			break
		}
	}
}

// checkClock reports a handshake in the future. Peers reject handshakes whose
// time stamp is older than the last one (WireGuard paper, §5.4.2).
func checkClock(in plan.Inputs, topo topology, found *plan.Problems) {
	for _, p := range topo.peers() {
		if p.tunnel.LastHandshake.Sub(in.Now) > clockTolerance {
			found.AddError("clock-behind", plan.GatewaySubject(topo.self.ID()),
				fmt.Sprintf("the clock of gateway %s was set back: its last handshake with %s is in the future, and peers will refuse new ones",
					topo.self.ID(), p.ID()),
				"set the clock (timedatectl status shows it); the tunnels recover by themselves")
			return
		}
	}
}

// checkAllowed reports prefixes that the catalog would refuse today, and which stay
// because they were announced before. An earlier build cannot allow them.
func checkAllowed(c plan.Catalog, found *plan.Problems) {
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
		found.AddWarning("prefix-not-allowed", plan.DatacenterSubject(dc.Name),
			fmt.Sprintf("%d prefixes of datacenter %s are outside the private ranges, and no other datacenter allows them: %s", len(outside), dc.Name, list),
			fmt.Sprintf("run meshctl federation allow %s on a gateway of another datacenter, or remove the prefixes in %s", list, dc.Name))
	}
}

// checkVersions reports that gateways run different versions of meshd.
func checkVersions(topo topology, found *plan.Problems) {
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
	found.AddWarning("version-skew", "federation",
		"the gateways of the federation run different versions of meshd: "+strings.Join(text, ", "),
		"finish the upgrade; new features are enabled when all gateways run the same version")
}
