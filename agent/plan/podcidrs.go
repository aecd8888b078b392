package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
)

// PodCIDRsAnnotation on a Node contains the ranges of its pods, separated by
// commas. It is for nodes whose Node.spec.podCIDRs and routes do not list them.
const PodCIDRsAnnotation = "meshway.io/pod-cidrs"

// localPodCIDRs derives the ranges of the pods of this host from the routes of
// its CNI plugin, sorted. A route is to local pods if its device reaches no
// other host (a bridge, or one device for each pod), if it drops what no pod
// has (the blocks of Calico), or if its gateway is an address of this host in
// the same range (Cilium). A range as large as one that the datacenter
// announces belongs to more than one host and is left out.
func localPodCIDRs(h Host, announced []catalog.Prefix) []netip.Prefix {
	egress := egressDevices(h)
	var out []netip.Prefix
	for _, r := range h.Routes {
		local := r.Drop != "" || r.Device != "" && !slices.Contains(egress, r.Device)
		if via := r.Via; via.IsValid() {
			local = local && slices.Contains(h.Addresses, via) && r.Prefix.Contains(via)
		}
		if local && slices.ContainsFunc(announced, func(p catalog.Prefix) bool { return p.Kind == catalog.PodPrefix && prefixset.IsPart(r.Prefix, p.CIDR) }) {
			out = append(out, r.Prefix)
		}
	}
	return prefixset.Aggregate(out)
}

// egressDevices are the devices through which other hosts are reached. A
// device with a router is one too: the pods may have addresses of the network
// of the hosts, and the device is then not in h.Underlay.
func egressDevices(h Host) []string {
	devices := slices.Concat(h.Underlay, h.Overlays)
	for _, r := range h.Routes {
		if r.Via.IsValid() && !slices.Contains(h.Addresses, r.Via) {
			devices = append(devices, r.Device)
		}
	}
	return devices
}

// resolvePodCIDRs decides which pods are on which node. Node.spec.podCIDRs is
// correct unless the CNI plugin assigns addresses itself. That is the case if
// the pods of this host are outside its own Node.spec.podCIDRs; only then do
// the ranges that nodes report count, because a compromised node could report
// ranges of others to receive their packets.
func resolvePodCIDRs(in Inputs, topo topology, found *problems) {
	local := localPodCIDRs(in.Host, topo.own.Prefixes)
	assignedByCNI := !prefixset.AllCovered(local, in.Site.Nodes.PodCIDRs)
	check := newReportCheck(in, topo, local)
	for i := range topo.nodes {
		n := &topo.nodes[i]
		if len(n.ReportedPodCIDRs) > 0 && (assignedByCNI || len(n.PodCIDRs) == 0) {
			n.PodCIDRs = check.accept(*n, found)
		}
		if len(n.PodCIDRs) == 0 {
			found.addWarning("node-pods-unknown", nodeSubject(n.Name),
				fmt.Sprintf("the pod ranges of node %s, which shares no link with this gateway, are unknown; "+
					"packets of its pods to other datacenters are dropped", n.Name),
				fmt.Sprintf("run kubectl annotate node %s %s=PREFIX,… with the ranges of its pods, unless it has no pods", n.Name, PodCIDRsAnnotation))
		}
	}
}

// reportCheck decides which of the pod ranges that nodes report are used.
type reportCheck struct {
	own     ownDatacenter
	local   []netip.Prefix       // of the pods of this host
	hosts   []netip.Addr         // of this host and the nodes
	reports map[netip.Prefix]int // how many nodes report a range
}

func newReportCheck(in Inputs, topo topology, local []netip.Prefix) reportCheck {
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
func (c reportCheck) accept(n NodePeer, found *problems) []netip.Prefix {
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
		found.addWarning("node-pods-refused", nodeSubject(n.Name),
			fmt.Sprintf("%d of the %d pod ranges that node %s reports are not used: %s", refused, len(n.ReportedPodCIDRs), n.Name, reason),
			fmt.Sprintf("run kubectl get meshnode %s -o yaml and compare it with the addresses of the CNI plugin; "+
				"the annotation %s on the Node overrides the ranges that its agent found", n.Name, PodCIDRsAnnotation))
	}
	return prefixset.Distinct(out)
}

// refuse returns why a range cannot be that of a node's pods, or the empty string.
func (c reportCheck) refuse(p netip.Prefix) string {
	switch {
	case p != p.Masked() || !c.own.ownsPodPrefix(p):
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
