//go:build linux

package nft

import "github.com/meshway/meshway/routes"

func (r ruleset) visited() bool {
	return len(r.fw.Visitors.Seen) > 0
}

// hideVisitors gives this host's address to what was sent to it and translated
// here for a pod elsewhere. kube-proxy would do that, were it not for noSNAT. Who
// asked for a cluster IP is of this host, where the answer comes back anyway.
func (r ruleset) hideVisitors() {
	for _, seen := range r.fw.Visitors.Seen {
		for _, f := range ipFamilies() {
			if f.family == routes.FamilyOf(seen) {
				r.rule(chainNoSNAT, "ct status dnat ct original", f.word, "daddr !=", "@"+setClusterIPs+f.digit,
					f.word, "saddr", "@"+setLocal+f.digit, f.word, "daddr", "@"+setRemote+f.digit, "snat", f.word, "to", seen.String())
			}
		}
	}
}
