package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Severity says how much a problem hurts.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // works, but not as it should
	Error   Severity = "error"   // something that was promised does not work
)

// Problem is something wrong that a person should know of.
type Problem struct {
	Code     string   `json:"code"` // stable, for programs: "prefix-overlap"
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // what it is about: "datacenter west"
	Message  string   `json:"message"` // one sentence
	Remedy   string   `json:"remedy"`  // what to do
}

// clockTolerance is how far a handshake may lie in the future before the
// clock is suspected.
const clockTolerance = time.Minute

// problems collects what a person should know.
type problems []Problem

func (p *problems) add(found Problem) { *p = append(*p, found) }

// sorted orders errors before warnings, then by code and subject.
func (p problems) sorted() []Problem {
	return slices.SortedFunc(slices.Values(p), CompareProblems)
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

// gatewayName and datacenterName are subjects of problems.
func gatewayName(id catalog.GatewayID) string { return "gateway " + string(id) }

func datacenterName(name catalog.DatacenterName) string { return "datacenter " + string(name) }

// diagnose looks for what is wrong beyond single records.
func diagnose(in Inputs, topo topology, found *problems) {
	checkReachability(topo, found)
	for _, p := range topo.peers() {
		if p.state != up && !endpoint(in, topo, p).IsValid() {
			found.add(Problem{
				"endpoint-missing", Warning, gatewayName(p.ID()),
				"no address is known to send to; the tunnel comes up only if this gateway is reached first",
				fmt.Sprintf("set wireguard.advertise on %s, or check that the name in it resolves here", p.ID()),
			})
		}
	}
	checkMTU(in, found)
	checkHostAddresses(in, topo, found)
	checkClock(in, topo, found)
	checkVersions(topo, found)
	checkDrain(in, topo, found)
}

// checkDrain reminds of a gateway that is out of use: somebody may have
// forgotten it.
func checkDrain(in Inputs, topo topology, found *problems) {
	if in.Drain == Active {
		return
	}
	found.add(Problem{
		"draining", Warning, gatewayName(topo.self.ID()),
		"it was drained: other gateways carry its traffic",
		"when the work on it is done: meshctl undrain",
	})
}

// checkReachability tells which datacenters cannot be reached. When there are
// several and none answers, the fault is most likely on our side, and saying
// it once is more help than a list.
func checkReachability(topo topology, found *problems) {
	var lost []Problem
	var since time.Time
	for _, dc := range topo.others {
		at, all := downSince(dc)
		if !all {
			reportGatewaysDown(dc, found)
			continue
		}
		if at.After(since) {
			since = at
		}
		lost = append(lost, Problem{
			"datacenter-unreachable", Error, datacenterName(dc.name),
			"no tunnel to it works" + sinceText(at),
			fmt.Sprintf("check that meshd runs there and that UDP passes between the gateways (meshctl status on a gateway of %s)", dc.name),
		})
	}
	if len(lost) > 1 && len(lost) == len(topo.others) {
		found.add(Problem{
			"cut-off", Error, gatewayName(topo.self.ID()),
			"no other datacenter can be reached" + sinceText(since) + ": it is most likely this gateway that is cut off",
			"check this host's uplink, its firewall (UDP out and in at wireguard.port) and its clock",
		})
		return
	}
	*found = append(*found, lost...)
}

// downSince says whether all gateways of a datacenter are down, and since
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

// reportGatewaysDown tells which gateways are down in a datacenter that is reachable.
func reportGatewaysDown(dc remoteDatacenter, found *problems) {
	for _, p := range dc.gateways {
		if p.state == down {
			found.add(Problem{
				"gateway-unreachable", Warning, gatewayName(p.ID()),
				"its tunnel does not work" + sinceText(p.session.Since) + "; traffic takes the other gateways",
				"check that meshd runs there and that UDP passes between both gateways",
			})
		}
	}
}

// sinceText leaves out how long ago it was: a message that changes all the
// time would be new all the time.
func sinceText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format(time.RFC3339)
}

// checkMTU compares the tunnels' MTU with that of the underlay.
func checkMTU(in Inputs, found *problems) {
	underlay := in.Host.UnderlayMTU
	want := mtu(in)
	if underlay == 0 || want <= underlay-minOverhead {
		return
	}
	remedy := fmt.Sprintf("set wireguard.mtu to %d or less", underlay-maxOverhead)
	if underlay-maxOverhead < minMTU {
		remedy = fmt.Sprintf("raise the MTU of this host's links to %d or more", minMTU+maxOverhead)
	}
	found.add(Problem{
		"mtu-too-large", Warning, "interfaces " + in.Config.WireGuard.Interface + "*",
		fmt.Sprintf("their MTU %d and the %d to %d bytes of WireGuard do not fit the underlay's %d: large packets are fragmented or lost",
			want, minOverhead, maxOverhead, underlay), remedy,
	})
}

// checkHostAddresses warns of remote prefixes that hold an address of this host.
// The tunnels' own packets escape our table by their mark, so nothing loops.
// But neighbours in the same range are now looked for at the other side.
func checkHostAddresses(in Inputs, topo topology, found *problems) {
	for _, dc := range topo.others {
		for _, p := range dc.prefixes {
			var mine []netip.Addr
			for _, a := range in.Host.Addresses {
				if p.Contains(a.Unmap()) {
					mine = append(mine, a.Unmap())
				}
			}
			if len(mine) == 0 {
				continue
			}
			found.add(Problem{
				"prefix-covers-host", Warning, datacenterName(dc.name),
				fmt.Sprintf("its prefix %v covers %v of this host: this host's neighbours in that range are looked for in %s",
					p, slices.MinFunc(mine, netip.Addr.Compare), dc.name),
				fmt.Sprintf("take %v out of the prefixes of %s, or name only its own addresses", p, dc.name),
			})
		}
	}
}

// checkClock suspects this host's clock when a handshake lies in the future. Peers
// reject handshakes with a time stamp older than the last (WireGuard, §5.4.2).
func checkClock(in Inputs, topo topology, found *problems) {
	for _, p := range topo.peers() {
		if p.tunnel.LastHandshake.Sub(in.Now) > clockTolerance {
			found.add(Problem{
				"clock-behind", Error, gatewayName(topo.self.ID()),
				"the clock of this host jumped back: a handshake with " + string(p.ID()) + " lies in the future, and peers will refuse new ones",
				"set the clock (timedatectl status); the tunnels recover by themselves",
			})
			return
		}
	}
}

// checkVersions tells that gateways run different versions of meshd.
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
	found.add(Problem{
		"version-skew", Warning, "federation",
		"gateways run different versions of meshd: " + strings.Join(text, ", "),
		"finish the upgrade; new features wait until all run the same version",
	})
}
