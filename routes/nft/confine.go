//go:build linux

package nft

import (
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

func (r rendering) hasConfine() bool { return len(r.fw.Confine.Lanes) > 0 }

// confine drops packets from lanes to anything that this datacenter does not
// announce. It runs after connection tracking, so that replies to connections of
// this host pass, and before destinations are translated, so that services may have
// endpoints anywhere.
func (r rendering) confine() {
	r.chain(chainConfine, knftables.FilterType, knftables.PreroutingHook, knftables.ManglePriority)
	var lanes []string
	for _, device := range r.fw.Confine.Lanes {
		lanes = append(lanes, strconv.Quote(device))
	}
	r.rule(chainConfine, "iifname != {", strings.Join(lanes, ", "), "} return")
	for _, f := range ipFamilies() {
		r.rule(chainConfine, f.keyword, "daddr", "@"+setLocal+f.suffix, "return")
	}
	r.rule(chainConfine, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } return")
	keyword := "ip"
	if routes.FamilyOf(r.fw.Confine.Address) == routes.IPv6 {
		keyword = "ip6"
	}
	for _, match := range []string{
		"ct state { established, related }",
		"meta l4proto { icmp, icmpv6 }",
		"udp dport " + strconv.Itoa(int(r.fw.Confine.LivenessPort)),
		"tcp dport " + strconv.Itoa(int(r.fw.ControlPort)),
	} {
		r.rule(chainConfine, keyword, "daddr", r.fw.Confine.Address.String(), match, "return")
	}
	r.rule(chainConfine, "counter name", strconv.Quote(routes.CounterUnannounced), "drop")
}
