package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Node is what Meshway needs of a Node.
type Node struct {
	Name      string         `json:"name"`
	PodCIDRs  []netip.Prefix `json:"podCIDRs,omitempty"`
	Addresses []netip.Addr   `json:"addresses,omitempty"` // its InternalIPs
	External  []netip.Addr   `json:"external,omitempty"`  // its ExternalIPs
	Gateway   bool           `json:"gateway,omitempty"`
}

// cluster is what was seen of the cluster.
type cluster struct {
	nodes    []Node
	services []netip.Prefix // of the ServiceCIDR API
	kubeadm  ranges
	refused  []error // what the API server does not give
}

// ranges are what kubeadm was told, for all of the cluster.
type ranges struct{ pods, services []netip.Prefix }

// siteOf derives what the datacenter owns. The configuration wins over what
// the cluster says of itself, and that over what kubeadm was told once.
func siteOf(k config.Kubernetes, static []catalog.Prefix, c cluster) plan.Site {
	site := plan.Site{Known: true}
	var ofNodes, addresses []netip.Prefix
	for _, n := range c.nodes {
		ofNodes = append(ofNodes, n.PodCIDRs...)
		if n.Name == k.NodeName {
			site.Addresses = slices.Concat(n.External, n.Addresses)
		}
		for _, a := range n.Addresses {
			addresses = append(addresses, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	pods := firstNonEmpty(k.PodCIDRs, podRanges(ofNodes, c.kubeadm.pods))
	services := firstNonEmpty(k.ServiceCIDRs, Aggregate(c.services), Aggregate(c.kubeadm.services))
	if !k.AnnounceNodes {
		addresses = nil
	}
	for _, found := range []struct {
		prefixes []netip.Prefix
		kind     catalog.PrefixKind
	}{{pods, catalog.PodPrefix}, {services, catalog.ServicePrefix}, {Aggregate(addresses), catalog.NodePrefix}} {
		for _, p := range found.prefixes {
			site.Prefixes = append(site.Prefixes, catalog.Prefix{CIDR: p, Kind: found.kind})
		}
	}
	site.Prefixes = uniqueByCIDR(append(slices.Clone(static), site.Prefixes...))
	site.Problems = siteProblems(c, pods, services)
	return site
}

// podRanges are those of the nodes, and what kubeadm was told where a node has a
// part of it: CNI plugins that manage addresses themselves take them from
// anywhere in there, whatever Node.spec.podCIDRs says.
func podRanges(ofNodes, kubeadm []netip.Prefix) []netip.Prefix {
	all := slices.Clone(ofNodes)
	for _, wide := range kubeadm {
		part := func(p netip.Prefix) bool { return wide.Bits() <= p.Bits() && wide.Contains(p.Addr()) }
		if len(ofNodes) == 0 || slices.ContainsFunc(ofNodes, part) {
			all = append(all, wide)
		}
	}
	return Aggregate(all)
}

func firstNonEmpty(lists ...[]netip.Prefix) []netip.Prefix {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// uniqueByCIDR sorts by CIDR; of the same one twice, the first stays.
func uniqueByCIDR(in []catalog.Prefix) []catalog.Prefix {
	slices.SortStableFunc(in, func(a, b catalog.Prefix) int {
		return cmp.Or(a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()))
	})
	return slices.CompactFunc(in, func(a, b catalog.Prefix) bool { return a.CIDR == b.CIDR })
}

func siteProblems(c cluster, pods, services []netip.Prefix) []plan.Problem {
	var problems []plan.Problem
	because := ""
	for _, err := range c.refused {
		because += fmt.Sprintf("; %v", err)
	}
	for _, found := range []struct {
		what, key string
		prefixes  []netip.Prefix
	}{{"pod", "podCIDRs", pods}, {"service", "serviceCIDRs", services}} {
		if len(found.prefixes) == 0 {
			problems = append(problems, plan.Problem{
				Code: found.what + "-cidrs-unknown", Severity: plan.Error, Subject: "kubernetes",
				Message: fmt.Sprintf("the cluster does not tell the ranges of its %ss, so that others cannot reach them%s", found.what, because),
				Remedy:  fmt.Sprintf("set kubernetes.%s in the configuration", found.key),
			})
		}
	}
	return problems
}
