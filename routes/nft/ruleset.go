//go:build linux

// Rendering is pure, but knftables compiles on Linux only.

package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// The names of the chains and sets in Meshway's table.
const (
	chainClamp     = "clamp"     // limits TCP segments to the MTU of the tunnel
	chainNoSNAT    = "nosnat"    // keeps the addresses of pods
	chainAntispoof = "antispoof" // drops spoofed sources
	chainUnderlay  = "underlay"  // marks packets from peers outside of the tunnels
	chainTransit   = "transit"   // exempts forwarded packets from connection tracking
	chainHandover  = "handover"  // prevents forwarding loops between gateways
	chainConfine   = "confine"   // limits the destinations of packets from lanes
	chainGuard     = "guard"     // keeps packets to other datacenters from leaving unencrypted
	chainDetour    = "detour"    // the same, before another program has forwarded packets offloaded

	setLanes      = "lanes"
	setLocal      = "local"
	setRemote     = "remote"
	setHosts      = "hosts"
	setServices   = "services"
	setClusterIPs = "clusterips"
)

// Render adds to a transaction the operations that replace Meshway's table by fw and
// returns what the table then contains. Counters start with the given values, if any.
// Render is pure.
func Render(tx *knftables.Transaction, fw routes.Firewall, counters []routes.Counter) Contents {
	tx.Add(&knftables.Table{}) // ensures that the deletion succeeds
	tx.Delete(&knftables.Table{})
	return render(tx, fw, countersFrom(counters))
}

// render adds the table and all that is in it. Adding what exists already changes
// nothing, except that rules and elements are added.
func render(tx *knftables.Transaction, fw routes.Firewall, counters []*knftables.Counter) Contents {
	r := rendering{tx: tx, fw: fw, contents: &Contents{}}
	r.tx.Add(&knftables.Table{Comment: knftables.PtrTo("managed by Meshway, which restores it when changed")})
	r.sets()
	for _, counter := range counters {
		r.tx.Add(counter)
	}
	r.contents.Counters = routes.Counters()
	r.clamp()
	r.noSNAT()
	r.antispoof()
	r.markUnderlay()
	r.guard()
	r.detour()
	if r.hasConfine() {
		r.confine()
	}
	if r.hasTransit() {
		r.transit()
		r.handover()
	}
	return *r.contents
}

// rendering renders one Firewall.
type rendering struct {
	tx       *knftables.Transaction
	fw       routes.Firewall
	contents *Contents // what was added so far
}

// ipFamily has the names of a family in nft.
type ipFamily struct {
	family      routes.Family
	keyword     string // in a match
	suffix      string // of set names
	addressType string // of a set of addresses
}

func ipFamilies() []ipFamily {
	return []ipFamily{
		{family: routes.IPv4, keyword: "ip", suffix: "4", addressType: "ipv4_addr"},
		{family: routes.IPv6, keyword: "ip6", suffix: "6", addressType: "ipv6_addr"},
	}
}

func (r rendering) sets() {
	r.set(&knftables.Set{Name: setLanes, Type: "ifname"})
	for _, l := range r.fw.Lanes {
		r.tx.Add(&knftables.Element{Set: setLanes, Key: []string{strconv.Quote(l.Device)}})
	}
	r.prefixSet(setLocal, r.fw.Local)
	r.prefixSet(setRemote, r.fw.Remote)
	for _, l := range r.fw.Lanes {
		r.prefixSet(sourcesOf(l), l.Sources)
	}
	if r.hasTransit() {
		r.transitSets()
	}
	if r.hasNodePortSNAT() {
		r.prefixSet(setClusterIPs, r.fw.NodePortSNAT.ClusterIPs)
	}
}

func sourcesOf(l routes.Lane) string { return "sources-" + l.Device + "-" }

// prefixSet adds one set for each family, because a set of nft has one family.
func (r rendering) prefixSet(name string, prefixes []netip.Prefix) {
	for _, f := range ipFamilies() {
		set := name + f.suffix
		r.set(&knftables.Set{Name: set, Type: f.addressType, Flags: []knftables.SetFlag{knftables.IntervalFlag}})
		for _, p := range disjoint(prefixes) {
			if routes.FamilyOf(p.Addr()) == f.family {
				r.tx.Add(&knftables.Element{Set: set, Key: []string{p.String()}})
			}
		}
	}
}

// countersFrom returns all counters of the table, which start with the former values.
func countersFrom(former []routes.Counter) []*knftables.Counter {
	var counters []*knftables.Counter
	for _, name := range routes.Counters() {
		counter := &knftables.Counter{Name: name}
		i := slices.IndexFunc(former, func(c routes.Counter) bool { return c.Name == name })
		if i >= 0 && former[i].Packets > 0 {
			counter.Packets, counter.Bytes = &former[i].Packets, &former[i].Bytes
		}
		counters = append(counters, counter)
	}
	return counters
}

// clamp lowers the segment size that either end announces to the MTU of the
// tunnel: "rt mtu" is the smaller of the MTUs of both directions' routes.
func (r rendering) clamp() {
	r.chain(chainClamp, knftables.FilterType, knftables.ForwardHook, knftables.ManglePriority)
	for _, match := range []string{"iifname", "oifname"} {
		r.rule(chainClamp, match, "@"+setLanes, "tcp flags syn / syn,rst tcp option maxseg size set rt mtu")
	}
}

// noSNAT keeps source addresses between datacenters. CNI plugins masquerade in
// later chains. Accepting a packet here would not prevent that, but a packet has
// only one source translation, so this chain translates the source to itself.
func (r rendering) noSNAT() {
	r.chain(chainNoSNAT, knftables.NATType, knftables.PostroutingHook, knftables.SNATPriority+"-1")
	if r.hasTransit() {
		r.masqueradeServices()
	}
	if r.hasNodePortSNAT() {
		r.nodePortSNAT()
	}
	for _, f := range ipFamilies() {
		local, remote := "@"+setLocal+f.suffix, "@"+setRemote+f.suffix
		r.rule(chainNoSNAT, f.keyword, "saddr", local, f.keyword, "daddr", remote, "snat", f.keyword, "to", f.keyword, "saddr")
		r.rule(chainNoSNAT, f.keyword, "saddr", remote, f.keyword, "daddr", local, "snat", f.keyword, "to", f.keyword, "saddr")
	}
}

// antispoof accepts from a lane only sources that are routed to the lane, and
// from other devices no source of another datacenter.
func (r rendering) antispoof() {
	r.chain(chainAntispoof, knftables.FilterType, knftables.PreroutingHook, knftables.RawPriority)
	r.rule(chainAntispoof, `iifname "lo" accept`)
	// Neighbour solicitations have link-local or global sources, which may be in
	// Remote (RFC 4861 section 7.2.2). Routers do not forward them.
	r.rule(chainAntispoof, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept")
	for _, l := range r.fw.Lanes {
		for _, f := range ipFamilies() {
			r.rule(chainAntispoof, "iifname", strconv.Quote(l.Device), f.keyword, "saddr", "@"+sourcesOf(l)+f.suffix, "accept")
		}
	}
	r.rule(chainAntispoof, "iifname", "@"+setLanes, "counter name", strconv.Quote(routes.CounterTunnel), "drop")
	r.underlay()
	r.siblings()
	for _, f := range ipFamilies() {
		r.rule(chainAntispoof, f.keyword, "saddr", "@"+setRemote+f.suffix, "counter name", strconv.Quote(routes.CounterUnderlay), "drop")
	}
}

// underlay accepts packets that a peer sends to this host outside the tunnels,
// even if its node address is in Remote, because it has to connect before there
// is a tunnel. It accepts only packets to this host itself.
func (r rendering) underlay() {
	for _, match := range r.underlayMatches() {
		r.rule(chainAntispoof, match, r.mark(), "accept")
	}
}

// markUnderlay marks the packets that underlay accepts, as those in the opposite
// direction are: a reverse-path filter, of the kernel (src_valid_mark) or in nft
// ("fib saddr . mark"), then looks their sources up in the routes outside of the
// tunnels. The chain repeats the marking, because VPN programs set the mark of
// all packets to that of their connection (mangle), and runs before the chains of
// firewalld (mangle+10).
func (r rendering) markUnderlay() {
	if r.fw.Mark == 0 {
		return
	}
	r.chain(chainUnderlay, knftables.FilterType, knftables.PreroutingHook, knftables.ManglePriority+"+5")
	r.rule(chainUnderlay, "iifname", "@"+setLanes, "return")
	for _, match := range r.underlayMatches() {
		r.rule(chainUnderlay, match, r.mark())
	}
}

// mark returns the statement that adds Mark to the mark of a packet.
func (r rendering) mark() string {
	if r.fw.Mark == 0 {
		return ""
	}
	return fmt.Sprintf("meta mark set meta mark | %#x", r.fw.Mark)
}

// underlayMatches match packets that a peer sends to this host outside the tunnels.
func (r rendering) underlayMatches() []string {
	const here = " fib daddr type local"
	var matches []string
	if len(r.fw.TunnelPorts) > 0 {
		matches = append(matches, "udp dport { "+portList(r.fw.TunnelPorts)+" }"+here)
	}
	if r.fw.ControlPort != 0 {
		// Replies on connections that this host opened; they are never a bare SYN.
		peers := append([]uint16{r.fw.ControlPort}, r.fw.PeerControlPorts...)
		matches = append(matches,
			fmt.Sprintf("tcp dport %d", r.fw.ControlPort)+here,
			"tcp sport { "+portList(peers)+" } tcp flags & (syn | ack) != syn"+here)
	}
	return append(matches,
		"icmp type { destination-unreachable, time-exceeded, parameter-problem }"+here,
		"icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"+here)
}

// siblings accepts packets with remote sources that a sibling forwards from its
// tunnel to this datacenter. The sibling has checked the source. A pod of this
// host cannot use this rule, because its packets arrive on another device.
func (r rendering) siblings() {
	for _, device := range r.fw.TrustedDevices {
		for _, f := range ipFamilies() {
			r.rule(chainAntispoof, "iifname", strconv.Quote(device), f.keyword, "saddr", "@"+setRemote+f.suffix,
				f.keyword, "daddr", "@"+setLocal+f.suffix, "accept")
		}
	}
}

func (r rendering) chain(name string, typ knftables.BaseChainType, hook knftables.BaseChainHook, p knftables.BaseChainPriority) {
	r.contents.Chains = append(r.contents.Chains, name)
	r.tx.Add(&knftables.Chain{Name: name, Type: &typ, Hook: &hook, Priority: &p, Policy: knftables.PtrTo(knftables.AcceptPolicy)})
}

// set adds a set. One whose type changes from version to version needs another name:
// RenderUpdate keeps the sets that it finds.
func (r rendering) set(set *knftables.Set) {
	r.contents.Sets = append(r.contents.Sets, set.Name)
	r.tx.Add(set)
}

func (r rendering) rule(chain string, words ...string) {
	words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
	r.tx.Add(&knftables.Rule{Chain: chain, Rule: strings.Join(words, " ")})
}

func portList(ports []uint16) string {
	words := make([]string, 0, len(ports))
	for _, p := range slices.Compact(slices.Sorted(slices.Values(ports))) {
		words = append(words, fmt.Sprint(p))
	}
	return strings.Join(words, ", ")
}
