//go:build linux

package nft

import (
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"
)

// hasTransit reports whether the datacenter has several gateways.
func (r rendering) hasTransit() bool { return len(r.fw.Transit.Devices) > 0 }

func (r rendering) transitSets() {
	r.set(&knftables.Set{Name: setHosts, Type: "ifname"})
	for _, device := range r.fw.Transit.Devices {
		r.tx.Add(&knftables.Element{Set: setHosts, Key: []string{strconv.Quote(device)}})
	}
	r.prefixSet(setServices, r.fw.Transit.Services)
}

// transit exempts packets that this host only forwards from connection tracking,
// because the other direction of their connection may use another gateway. It
// identifies them by the devices on which they arrive and leave, because the pod
// prefixes of each host are known for some CNI plugins only. A packet to this host
// itself leaves on no such device, so it is tracked.
//
// The chain runs after antispoof and right before connection tracking.
func (r rendering) transit() {
	r.chain(chainTransit, knftables.FilterType, knftables.PreroutingHook, knftables.RawPriority+"+1")
	var hosts []string // nft cannot match the oifname of a fib lookup with a named set
	for _, device := range r.fw.Transit.Devices {
		hosts = append(hosts, strconv.Quote(device))
	}
	for _, f := range ipFamilies() {
		local, remote := "@"+setLocal+f.suffix, "@"+setRemote+f.suffix
		r.rule(chainTransit, "iifname", "@"+setHosts, f.keyword, "saddr", local, f.keyword, "daddr", remote, "notrack")
		r.rule(chainTransit, f.keyword, "saddr", remote, f.keyword, "daddr", local, f.keyword, "daddr !=", "@"+setServices+f.suffix,
			"fib daddr oifname {", strings.Join(hosts, ", "), "} notrack")
	}
}

// masqueradeServices translates the source of packets whose destination this host
// has translated to a pod of another host. Otherwise the pod might send its reply
// through another gateway, which cannot reverse the translation.
func (r rendering) masqueradeServices() {
	for _, f := range ipFamilies() {
		r.rule(chainNoSNAT, "oifname", "@"+setHosts, "ct status dnat",
			f.keyword, "saddr", "@"+setRemote+f.suffix, f.keyword, "daddr", "@"+setLocal+f.suffix, "masquerade")
	}
}

// handover drops packets to a remote prefix that arrived on a lane or from another
// host and would be forwarded to another gateway. Two gateways without lanes would
// otherwise forward such packets to each other repeatedly. Only this host and its
// own pods may use another gateway.
func (r rendering) handover() {
	r.chain(chainHandover, knftables.FilterType, knftables.ForwardHook, knftables.FilterPriority)
	for _, from := range []string{setHosts, setLanes} {
		for _, f := range ipFamilies() {
			r.rule(chainHandover, "iifname", "@"+from, "oifname", "@"+setHosts, f.keyword, "daddr", "@"+setRemote+f.suffix, "drop")
		}
	}
}
