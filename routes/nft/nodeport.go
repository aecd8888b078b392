//go:build linux

package nft

import "github.com/meshway/meshway/routes"

func (r rendering) hasNodePortSNAT() bool {
	return len(r.fw.NodePortSNAT.Addresses) > 0
}

// nodePortSNAT translates the source of packets whose destination this host has
// translated from a NodePort to a pod in another datacenter. kube-proxy would do
// this if noSNAT did not precede it. The source of a packet to a cluster IP is kept,
// because its client is on this host, to which the reply returns in any case.
func (r rendering) nodePortSNAT() {
	for _, address := range r.fw.NodePortSNAT.Addresses {
		for _, f := range ipFamilies() {
			if f.family == routes.FamilyOf(address) {
				r.rule(chainNoSNAT, "ct status dnat ct original", f.keyword, "daddr !=", "@"+setClusterIPs+f.suffix,
					f.keyword, "saddr", "@"+setLocal+f.suffix, f.keyword, "daddr", "@"+setRemote+f.suffix, "snat", f.keyword, "to", address.String())
			}
		}
	}
}
