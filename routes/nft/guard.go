//go:build linux

package nft

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// guard drops packets to other datacenters that would leave this host on another
// device than a lane, whichever rule, mark or table of another program has routed
// them there. At postrouting the device is final, also for packets that a chain has
// routed again after changing their mark.
func (r rendering) guard() {
	r.chain(chainGuard, knftables.FilterType, knftables.PostroutingHook, knftables.FilterPriority)
	r.rule(chainGuard, `oifname "lo" accept`)
	r.rule(chainGuard, "oifname", "@"+setLanes, "accept")
	r.ownPackets()
	r.dropUnencrypted(chainGuard)
}

// detour drops forwarded packets as guard does, before the first chain of another program
// in this hook: one with a flowtable, as those of firewalld and OpenWrt, has the kernel
// forward the following packets of the connection without postrouting.
func (r rendering) detour() {
	r.chain(chainDetour, knftables.FilterType, knftables.ForwardHook, knftables.RawPriority)
	r.rule(chainDetour, "oifname", "@"+setLanes, "accept")
	r.dropUnencrypted(chainDetour)
}

// dropUnencrypted drops packets to other datacenters that do not go to a hop.
func (r rendering) dropUnencrypted(chain string) {
	for _, hop := range r.fw.Hops {
		keyword := "ip"
		if routes.FamilyOf(hop.Address) == routes.IPv6 {
			keyword = "ip6"
		}
		r.rule(chain, "oifname", strconv.Quote(hop.Device), "rt", keyword, "nexthop", hop.Address.String(), "accept")
	}
	for _, f := range ipFamilies() {
		r.rule(chain, f.keyword, "daddr", "@"+setRemote+f.suffix, "counter name", strconv.Quote(routes.CounterUnencrypted), "drop")
	}
}

// ownPackets accepts what this host itself sends to peers whose node addresses are
// in Remote: the tunnels' encrypted packets, TLS of the control port, and neighbour
// discovery, which routers do not forward (RFC 4861 section 6.1.1). The mark alone
// is not sufficient, because other programs may set it on any packet.
func (r rendering) ownPackets() {
	r.rule(chainGuard, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
	if r.fw.Mark == 0 {
		return
	}
	marked := fmt.Sprintf("meta mark & %#x == %#x fib saddr type local", r.fw.Mark, r.fw.Mark)
	accept := func(match string, ports ...uint16) {
		if len(ports) > 0 {
			r.rule(chainGuard, strings.Join([]string{match, "{", portList(ports), "}", marked, "accept"}, " "))
		}
	}
	accept("udp sport", r.fw.TunnelPorts...)
	if r.fw.ControlPort != 0 {
		accept("tcp sport", r.fw.ControlPort)
		accept("tcp dport", append([]uint16{r.fw.ControlPort}, r.fw.PeerControlPorts...)...)
	}
}
