package gatewayplan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/prefixset"
)

// resolvePodCIDRs decides which pods are on which node. Node.spec.podCIDRs is
// correct unless the CNI plugin assigns addresses itself. That is the case if
// the pods of this host are outside its own Node.spec.podCIDRs; only then do
// the ranges that nodes report count, because a compromised node could report
// ranges of others to receive their packets. Where Kubernetes assigns no ranges,
// the kubelet of a node may set its Node.spec.podCIDRs, which then are such a report.
func resolvePodCIDRs(in plan.Inputs, topo topology, found *plan.Problems) {
	local := plan.LocalPodCIDRs(in.Host, topo.own.Prefixes)
	if assigned := in.Site.Nodes.PodCIDRs; len(assigned) == 0 || !prefixset.AllCovered(local, assigned) {
		for i := range topo.nodes {
			if n := &topo.nodes[i]; len(n.ReportedPodCIDRs) == 0 {
				n.ReportedPodCIDRs = n.PodCIDRs
			}
			topo.nodes[i].PodCIDRs = nil
		}
	}
	check := newReportCheck(in, topo, local)
	for i := range topo.nodes {
		n := &topo.nodes[i]
		if len(n.PodCIDRs) == 0 && len(n.ReportedPodCIDRs) > 0 {
			n.PodCIDRs = check.accept(*n, found)
		}
		if len(n.PodCIDRs) == 0 {
			found.AddWarning("node-pods-unknown", plan.NodeSubject(n.Name),
				fmt.Sprintf("the pod ranges of node %s, which shares no link with this gateway, are unknown; "+
					"packets of its pods to other datacenters are dropped", n.Name),
				fmt.Sprintf("run kubectl annotate node %s %s=PREFIX,… with the ranges of its pods, unless it has no pods", n.Name, plan.PodCIDRsAnnotation))
		}
	}
}

// reportCheck decides which of the pod ranges that nodes report are used.
type reportCheck struct {
	own     acceptance.Own
	local   []netip.Prefix       // of the pods of this host
	hosts   []netip.Addr         // of this host and the nodes
	reports map[netip.Prefix]int // how many nodes report a range
}

func newReportCheck(in plan.Inputs, topo topology, local []netip.Prefix) reportCheck {
	c := reportCheck{own: topo.own, local: local, hosts: slices.Clone(in.Host.Addresses), reports: map[netip.Prefix]int{}}
	for _, n := range topo.nodes {
		c.hosts = append(c.hosts, n.Addresses...)
		for _, p := range n.ReportedPodCIDRs {
			c.reports[p]++
		}
	}
	return c
}

// accept returns the usable ranges that a node reports, sorted.
func (c reportCheck) accept(n plan.NodePeer, found *plan.Problems) []netip.Prefix {
	var out []netip.Prefix
	refused, reason := 0, ""
	for _, p := range n.ReportedPodCIDRs {
		flaw := c.refuse(p)
		if flaw == "" {
			out = append(out, p)
			continue
		}
		refused++
		if reason == "" {
			reason = fmt.Sprintf("%s %s", p, flaw)
		}
	}
	if refused > 0 {
		found.AddWarning("node-pods-refused", plan.NodeSubject(n.Name),
			fmt.Sprintf("%d of the %d pod ranges that node %s reports are not used: %s", refused, len(n.ReportedPodCIDRs), n.Name, reason),
			fmt.Sprintf("run kubectl get meshnode %s -o yaml and compare it with the addresses of the CNI plugin; "+
				"the annotation %s on the Node overrides the ranges that its agent found", n.Name, plan.PodCIDRsAnnotation))
	}
	return prefixset.Distinct(out)
}

// refuse returns why a range cannot be that of a node's pods, or the empty string.
func (c reportCheck) refuse(p netip.Prefix) string {
	switch {
	case p != p.Masked() || !c.own.OwnsPodPrefix(p):
		return "is not part of the pod prefixes that this datacenter announces"
	case c.reports[p] > 1:
		return "is reported by another node too"
	case slices.ContainsFunc(c.local, p.Overlaps):
		return "overlaps the pods of this gateway"
	case slices.ContainsFunc(c.hosts, p.Contains):
		return "contains addresses of hosts"
	}
	return ""
}
