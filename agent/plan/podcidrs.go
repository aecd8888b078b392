package plan

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
)

// PodCIDRsAnnotation on a Node contains the ranges of its pods, separated by
// commas. It is for nodes whose Node.spec.podCIDRs and routes do not list them.
const PodCIDRsAnnotation = "meshway.io/pod-cidrs"

// LocalPodCIDRs derives the ranges of the pods of this host from the routes of
// its CNI plugin, sorted. A route is to local pods if its device reaches no
// other host (a bridge, or one device for each pod), if it drops what no pod
// has (the blocks of Calico), or if its gateway is an address of this host in
// the same range (Cilium). A range as large as one that the datacenter
// announces belongs to more than one host and is left out.
func LocalPodCIDRs(h Host, announced []catalog.Prefix) []netip.Prefix {
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
