//go:build linux

package nft

import (
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"
)

// shared tells whether other gateways share the work of this one.
func (r ruleset) shared() bool { return len(r.fw.Transit.Devices) > 0 }

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
		local, remote := "@"+setLocal+f.digit, "@"+setRemote+f.digit
		r.rule(chainTransit, "iifname", "@"+setHosts, f.word, "saddr", local, f.word, "daddr", remote, "notrack")
		r.rule(chainTransit, f.word, "saddr", remote, f.word, "daddr", local, f.word, "daddr !=", "@"+setServices+f.digit,
			"fib daddr oifname {", strings.Join(hosts, ", "), "} notrack")
	}
}

// bringBack gives this host's address to what was translated here for a pod
// of another host. The pod's answer would go to any gateway, of which only
// this one knows what to translate it back to.
func (r ruleset) bringBack() {
	for _, f := range ipFamilies() {
		r.rule(chainNoSNAT, "oifname", "@"+setHosts, "ct status dnat",
			f.word, "saddr", "@"+setRemote+f.digit, f.word, "daddr", "@"+setLocal+f.digit, "masquerade")
	}
}

// handover keeps what a lane or another host handed to this gateway from
// going on to another one: two that have lost their lanes would send it to
// and fro. Only the pods of this host may use another gateway instead.
func (r ruleset) handover() {
	r.chain(chainHandover, knftables.FilterType, knftables.ForwardHook, knftables.FilterPriority)
	for _, from := range []string{setHosts, setLanes} {
		for _, f := range ipFamilies() {
			r.rule(chainHandover, "iifname", "@"+from, "oifname", "@"+setHosts, f.word, "daddr", "@"+setRemote+f.digit, "drop")
		}
	}
}
