//go:build linux

// Rendering is pure, but knftables builds on Linux only.

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

// The names of what our table holds.
const (
	chainClamp     = "clamp"     // TCP segments fit into the tunnel
	chainNoSNAT    = "nosnat"    // pods keep their address
	chainAntispoof = "antispoof" // nobody takes a remote one
	chainTransit   = "transit"   // half a connection is not tracked
	chainHandover  = "handover"  // gateways hand over once

	setLanes      = "lanes"
	setLocal      = "local"
	setRemote     = "remote"
	setHosts      = "hosts"
	setServices   = "services"
	setClusterIPs = "clusterips"
)

// Render fills a transaction that replaces our table, as a whole and at once,
// by what fw says. Counters go on from the values given, if any. It is pure.
func Render(tx *knftables.Transaction, fw routes.Firewall, counters []Counter) {
	tx.Add(&knftables.Table{}) // so that there is one to delete
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("managed by Meshway, which restores it when changed")})
	r := ruleset{tx: tx, fw: fw}
	r.sets()
	r.counters(counters)
	r.clamp()
	r.noSNAT()
	r.antispoof()
	if r.hasTransit() {
		r.transit()
		r.handover()
	}
}

// ruleset renders one Firewall.
type ruleset struct {
	tx *knftables.Transaction
	fw routes.Firewall
}

// ipFamily is how nft names a family.
type ipFamily struct {
	family      routes.Family
	keyword     string // of the match
	suffix      string // at the end of set names
	addressType string // of a set of addresses
}

func ipFamilies() []ipFamily {
	return []ipFamily{
		{family: routes.IPv4, keyword: "ip", suffix: "4", addressType: "ipv4_addr"},
		{family: routes.IPv6, keyword: "ip6", suffix: "6", addressType: "ipv6_addr"},
	}
}

func (r ruleset) sets() {
	r.tx.Add(&knftables.Set{Name: setLanes, Type: "ifname"})
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

// prefixSet is one set for each family, since nft has no set of both.
func (r ruleset) prefixSet(name string, prefixes []netip.Prefix) {
	for _, f := range ipFamilies() {
		set := name + f.suffix
		r.tx.Add(&knftables.Set{Name: set, Type: f.addressType, Flags: []knftables.SetFlag{knftables.IntervalFlag}})
		for _, p := range disjoint(prefixes) {
			if routes.FamilyOf(p.Addr()) == f.family {
				r.tx.Add(&knftables.Element{Set: set, Key: []string{p.String()}})
			}
		}
	}
}

func (r ruleset) counters(former []Counter) {
	for _, name := range []string{CounterTunnel, CounterUnderlay} {
		counter := &knftables.Counter{Name: name}
		i := slices.IndexFunc(former, func(c Counter) bool { return c.Name == name })
		if i >= 0 && former[i].Packets > 0 {
			counter.Packets, counter.Bytes = &former[i].Packets, &former[i].Bytes
		}
		r.tx.Add(counter)
	}
}

// clamp lowers the segment size that either end announces to what fits into
// the tunnel: "rt mtu" is the smaller of both directions' routes.
func (r ruleset) clamp() {
	r.chain(chainClamp, knftables.FilterType, knftables.ForwardHook, knftables.ManglePriority)
	for _, match := range []string{"iifname", "oifname"} {
		r.rule(chainClamp, match, "@"+setLanes, "tcp flags syn / syn,rst tcp option maxseg size set rt mtu")
	}
}

// noSNAT keeps the source address between datacenters. It comes before the
// chains of CNI plugins, which masquerade: accepting a packet here would not
// keep them from it, but a packet has only one source translation, and this
// one is to its own address.
func (r ruleset) noSNAT() {
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

// antispoof lets out of a lane only the sources that the lane leads to, and
// from elsewhere none of another datacenter.
func (r ruleset) antispoof() {
	r.chain(chainAntispoof, knftables.FilterType, knftables.PreroutingHook, knftables.RawPriority)
	r.rule(chainAntispoof, `iifname "lo" accept`)
	// Neighbours solicit from link-local addresses, and from global ones, which
	// may be in Remote (RFC 4861 section 7.2.2); nobody forwards these.
	r.rule(chainAntispoof, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept")
	for _, l := range r.fw.Lanes {
		for _, f := range ipFamilies() {
			r.rule(chainAntispoof, "iifname", strconv.Quote(l.Device), f.keyword, "saddr", "@"+sourcesOf(l)+f.suffix, "accept")
		}
	}
	r.rule(chainAntispoof, "iifname", "@"+setLanes, "counter name", strconv.Quote(CounterTunnel), "drop")
	r.underlay()
	r.siblings()
	for _, f := range ipFamilies() {
		r.rule(chainAntispoof, f.keyword, "saddr", "@"+setRemote+f.suffix, "counter name", strconv.Quote(CounterUnderlay), "drop")
	}
}

// underlay lets through what a peer sends us outside the tunnels, though its
// node address be in Remote: it has to, before there is a tunnel. All of it
// is for this host itself; nothing is forwarded.
func (r ruleset) underlay() {
	const here = "fib daddr type local accept"
	if len(r.fw.TunnelPorts) > 0 {
		r.rule(chainAntispoof, "udp dport {", portList(r.fw.TunnelPorts), "}", here)
	}
	if r.fw.ControlPort != 0 {
		r.rule(chainAntispoof, "tcp dport", strconv.Itoa(int(r.fw.ControlPort)), here)
		// Answers to our own connections; they never begin with a bare SYN.
		peers := append([]uint16{r.fw.ControlPort}, r.fw.PeerControlPorts...)
		r.rule(chainAntispoof, "tcp sport {", portList(peers), "} tcp flags & (syn | ack) != syn", here)
	}
	r.rule(chainAntispoof, "icmp type { destination-unreachable, time-exceeded, parameter-problem }", here)
	r.rule(chainAntispoof, "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }", here)
}

// siblings lets in what another gateway of this datacenter took out of its
// tunnel for a pod that is here, or behind this host: it has been checked
// there. A pod of this host cannot use that, for it is behind another device.
func (r ruleset) siblings() {
	for _, device := range r.fw.TrustedDevices {
		for _, f := range ipFamilies() {
			r.rule(chainAntispoof, "iifname", strconv.Quote(device), f.keyword, "saddr", "@"+setRemote+f.suffix,
				f.keyword, "daddr", "@"+setLocal+f.suffix, "accept")
		}
	}
}

func (r ruleset) chain(name string, typ knftables.BaseChainType, hook knftables.BaseChainHook, p knftables.BaseChainPriority) {
	r.tx.Add(&knftables.Chain{Name: name, Type: &typ, Hook: &hook, Priority: &p})
}

func (r ruleset) rule(chain string, words ...string) {
	r.tx.Add(&knftables.Rule{Chain: chain, Rule: strings.Join(words, " ")})
}

func portList(ports []uint16) string {
	words := make([]string, 0, len(ports))
	for _, p := range slices.Compact(slices.Sorted(slices.Values(ports))) {
		words = append(words, fmt.Sprint(p))
	}
	return strings.Join(words, ", ")
}
