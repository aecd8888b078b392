//go:build linux

package nft

import "github.com/meshway/meshway/routes"

func (r ruleset) hasNodePortSNAT() bool {
	return len(r.fw.NodePortSNAT.Addresses) > 0
}

// nodePortSNAT gives this host's address to what was sent to it and translated
// here for a pod elsewhere. kube-proxy would do that, were it not for noSNAT. Who
// asked for a cluster IP is of this host, where the answer comes back anyway.
func (r ruleset) nodePortSNAT() {
	for _, seen := range r.fw.NodePortSNAT.Addresses {
		for _, f := range ipFamilies() {
			if f.family == routes.FamilyOf(seen) {
				r.rule(chainNoSNAT, "ct status dnat ct original", f.keyword, "daddr !=", "@"+setClusterIPs+f.suffix,
					f.keyword, "saddr", "@"+setLocal+f.suffix, f.keyword, "daddr", "@"+setRemote+f.suffix, "snat", f.keyword, "to", seen.String())
			}
		}
	}
}
