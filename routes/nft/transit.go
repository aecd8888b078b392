//go:build linux

package nft

import (
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"
)

// hasTransit tells whether other gateways share the work of this one.
func (r ruleset) hasTransit() bool { return len(r.fw.Transit.Devices) > 0 }

func (r ruleset) transitSets() {
	r.tx.Add(&knftables.Set{Name: setHosts, Type: "ifname"})
	for _, device := range r.fw.Transit.Devices {
		r.tx.Add(&knftables.Element{Set: setHosts, Key: []string{strconv.Quote(device)}})
	}
	r.prefixSet(setServices, r.fw.Transit.Services)
}

// transit takes from connection tracking what only passes through, since the
// other half of it may pass another gateway. Whose a packet is, is told by the
// devices that it comes by and goes to, which is the kernel's own word: ranges
// of pods per host are known only for some of the CNI plugins. An address of
// this host has no such device, so what is for it stays tracked.
//
// It comes right before connection tracking, behind antispoof.
func (r ruleset) transit() {
	r.chain(chainTransit, knftables.FilterType, knftables.PreroutingHook, knftables.RawPriority+"+1")
	var hosts []string // nft does not look a fib's oifname up in a set of interface names
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

// masqueradeServices gives this host's address to what was translated here for a pod
// of another host. The pod's answer would go to any gateway, of which only
// this one knows what to translate it back to.
func (r ruleset) masqueradeServices() {
	for _, f := range ipFamilies() {
		r.rule(chainNoSNAT, "oifname", "@"+setHosts, "ct status dnat",
			f.keyword, "saddr", "@"+setRemote+f.suffix, f.keyword, "daddr", "@"+setLocal+f.suffix, "masquerade")
	}
}

// handover keeps what a lane or another host handed to this gateway from
// going on to another one: two that have lost their lanes would send it to
// and fro. Only the pods of this host may use another gateway instead.
func (r ruleset) handover() {
	r.chain(chainHandover, knftables.FilterType, knftables.ForwardHook, knftables.FilterPriority)
	for _, from := range []string{setHosts, setLanes} {
		for _, f := range ipFamilies() {
			r.rule(chainHandover, "iifname", "@"+from, "oifname", "@"+setHosts, f.keyword, "daddr", "@"+setRemote+f.suffix, "drop")
		}
	}
}
