package kube

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Node is the part of a Kubernetes Node that Meshway uses.
type Node struct {
	Name      string         `json:"name"`
	PodCIDRs  []netip.Prefix `json:"podCIDRs,omitempty"`
	Addresses []netip.Addr   `json:"addresses,omitempty"` // InternalIPs, sorted
	External  []netip.Addr   `json:"external,omitempty"`  // ExternalIPs, sorted
	Gateway   bool           `json:"gateway,omitempty"`
}

// cluster is what the API server returned about the cluster.
type cluster struct {
	nodes    []Node
	services []netip.Prefix // of the ServiceCIDR API
	kubeadm  ranges
	refused  []error // requests that the API server refuses
}

// ranges are the ranges of the whole cluster in the configuration of kubeadm.
type ranges struct{ pods, services []netip.Prefix }

// siteOf derives the prefixes that the datacenter owns. The configuration takes
// precedence over the objects of the cluster, and these over the configuration of
// kubeadm, which may be outdated.
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
	site.Prefixes = sortUnique(append(slices.Clone(static), site.Prefixes...))
	site.Problems = siteProblems(c, pods, services)
	return site
}

// podRanges returns the ranges of the nodes. A range of kubeadm is added if a node
// has a part of it or no node has a range: CNI plugins with their own address
// management assign addresses from all of it, regardless of Node.spec.podCIDRs.
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

// sortUnique sorts by CIDR and keeps the first of several prefixes with one CIDR.
func sortUnique(in []catalog.Prefix) []catalog.Prefix {
	slices.SortStableFunc(in, func(a, b catalog.Prefix) int { return a.CIDR.Compare(b.CIDR) })
	return slices.CompactFunc(in, func(a, b catalog.Prefix) bool { return a.CIDR == b.CIDR })
}

// siteProblems reports which ranges are unknown.
func siteProblems(c cluster, pods, services []netip.Prefix) []plan.Problem {
	var problems []plan.Problem
	reasons := ""
	for _, err := range c.refused {
		reasons += fmt.Sprintf("; %v", err)
	}
	for _, found := range []struct {
		what, key string
		prefixes  []netip.Prefix
	}{{"pod", "podCIDRs", pods}, {"service", "serviceCIDRs", services}} {
		if len(found.prefixes) == 0 {
			problems = append(problems, plan.Problem{
				Code: found.what + "-cidrs-unknown", Severity: plan.Error, Subject: "kubernetes",
				Message: fmt.Sprintf("the %s ranges of the cluster are unknown, so other datacenters cannot reach its %[1]ss%s", found.what, reasons),
				Remedy:  fmt.Sprintf("set kubernetes.%s in the configuration", found.key),
			})
		}
	}
	return problems
}
