package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// localPodCIDRs are the ranges of the pods of this host, as the routes of its CNI
// plugin tell, sorted: a device that leads to nobody else (a bridge, or one for
// each pod), what is dropped when no pod has it (the blocks of Calico), or the
// device by which the host itself has an address out of them (Cilium). A range
// as large as what the datacenter announces is not that of one host.
func localPodCIDRs(h Host, own []catalog.Prefix) []netip.Prefix {
	outward := egressDevices(h)
	var out []netip.Prefix
	for _, r := range h.Routes {
		here := r.Drop || r.Device != "" && !slices.Contains(outward, r.Device)
		if via := r.Via; via.IsValid() {
			here = here && slices.Contains(h.Addresses, via) && r.Prefix.Contains(via)
		}
		if here && slices.ContainsFunc(own, func(p catalog.Prefix) bool { return p.Kind == catalog.PodPrefix && isSubrange(r.Prefix, p.CIDR) }) {
			out = append(out, r.Prefix)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return aggregate(out)
}

// egressDevices are those by which other hosts are reached: also where a
// router is, should the pods have addresses out of the network of the hosts.
func egressDevices(h Host) []string {
	devices := slices.Concat(h.Underlay, h.Overlays)
	for _, r := range h.Routes {
		if r.Via.IsValid() && !slices.Contains(h.Addresses, r.Via) {
			devices = append(devices, r.Device)
		}
	}
	return devices
}

// isSubrange tells whether p is a part of another prefix and not all of it.
func isSubrange(p, of netip.Prefix) bool {
	return p.Bits() > of.Bits() && of.Contains(p.Addr())
}

// allCovered tells whether each prefix lies in one of the others.
func allCovered(prefixes, in []netip.Prefix) bool {
	return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(in, func(wide netip.Prefix) bool { return wide.Bits() <= p.Bits() && wide.Contains(p.Addr()) })
	})
}

// resolvePodCIDRs decides where the pods of the nodes are. Node.spec.podCIDRs is
// right unless the CNI plugin manages addresses itself; then the nodes' own
// word counts. It does not elsewhere, where a node that lies could have the
// packets for others: what this host sees of its own pods decides.
func resolvePodCIDRs(in Inputs, topo topology, found *problems) {
	local := localPodCIDRs(in.Host, topo.own.Prefixes)
	elsewhere := !allCovered(local, in.Nodes.PodCIDRs)
	reports := map[netip.Prefix]int{}
	for _, n := range topo.nodes {
		for _, p := range n.ReportedPodCIDRs {
			reports[p]++
		}
	}
	for i := range topo.nodes {
		n := &topo.nodes[i]
		if len(n.ReportedPodCIDRs) > 0 && (elsewhere || len(n.PodCIDRs) == 0) {
			n.PodCIDRs = acceptReported(*n, func(p netip.Prefix) string { return refuseReported(in, topo, local, reports, p) }, found)
		}
		if len(n.PodCIDRs) == 0 {
			found.add(Problem{
				"node-pods-unknown", Warning, "node " + n.Name,
				"it is on no link of this gateway, and nothing tells which pods are there; what they send to other datacenters is dropped",
				fmt.Sprintf("kubectl annotate node %s %s=PREFIX,… with the ranges of its pods; if it has none, nothing is wrong", n.Name, PodCIDRsAnnotation),
			})
		}
	}
}

// PodCIDRsAnnotation on a Node has the ranges of its pods, divided by commas,
// where neither Node.spec.podCIDRs nor the routes of the node tell them.
const PodCIDRsAnnotation = "meshway.io/pod-cidrs"

// acceptReported takes what a node may say of itself.
func acceptReported(n NodePeer, refuse func(netip.Prefix) string, found *problems) []netip.Prefix {
	var out, refused []netip.Prefix
	reason := ""
	for _, p := range n.ReportedPodCIDRs {
		why := refuse(p)
		if why == "" {
			out = append(out, p)
			continue
		}
		refused = append(refused, p)
		if reason == "" {
			reason = fmt.Sprintf("%s %s", p, why)
		}
	}
	if len(refused) > 0 {
		found.add(Problem{
			"node-pods-refused", Warning, "node " + n.Name,
			fmt.Sprintf("%d of the %d ranges that it calls those of its pods are not used: %s", len(refused), len(n.ReportedPodCIDRs), reason),
			fmt.Sprintf("look at kubectl get meshnode %s -o yaml, and at the addresses of the CNI plugin; %s on the Node overrides what its agent found", n.Name, PodCIDRsAnnotation),
		})
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// refuseReported says why a range cannot be that of a node's pods; empty: it can.
func refuseReported(in Inputs, topo topology, local []netip.Prefix, reports map[netip.Prefix]int, p netip.Prefix) string {
	hosts := in.Host.Addresses
	for _, n := range topo.nodes {
		hosts = append(slices.Clip(hosts), n.Addresses...)
	}
	switch {
	case p != p.Masked() || !slices.ContainsFunc(topo.own.Prefixes, func(own catalog.Prefix) bool {
		return own.Kind == catalog.PodPrefix && slices.Contains(topo.local, own.CIDR) && isSubrange(p, own.CIDR)
	}):
		return "is no part of the pod ranges that this datacenter announces"
	case reports[p] > 1:
		return "is claimed by another node too"
	case slices.ContainsFunc(local, p.Overlaps):
		return "has pods of this gateway"
	case slices.ContainsFunc(hosts, p.Contains):
		return "has addresses of hosts"
	}
	return ""
}
