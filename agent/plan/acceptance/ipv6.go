package acceptance

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	switchOnIPv6 = "run sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0"
	bootWithIPv6 = "start the kernel without ipv6.disable=1"
)

// CheckIPv6 reports once that a host lacks IPv6, if the federation uses it.
func CheckIPv6(h plan.Host, subject string, overlay netip.Prefix, others []Remote, found *plan.Problems) {
	remedy := bootWithIPv6
	switch {
	case h.IPv6 == plan.IPv6Everywhere:
		return
	case h.IPv6 == plan.IPv6InLanes:
		remedy = switchOnIPv6
	case overlay.Addr().Is6():
		found.AddError("ipv6-missing", subject,
			fmt.Sprintf("the kernel of %s has no IPv6, but the overlay %v of the federation is IPv6: no tunnel can be used", subject, overlay), remedy)
		return
	}
	var names []string
	for _, dc := range others {
		if slices.ContainsFunc(dc.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
			names = append(names, string(dc.Name))
		}
	}
	if len(names) > 0 {
		found.AddWarning("ipv6-missing", subject,
			fmt.Sprintf("IPv6 is switched off on the host of %s: IPv6 prefixes of %d datacenters are not routed, IPv4 works", subject, len(names)),
			remedy+", or ignore this if no workload here uses IPv6")
	}
}

// RefuseIPv6 returns why a host cannot be in a federation with an overlay, or nil.
func RefuseIPv6(h plan.Host, overlay netip.Prefix) error {
	if h.IPv6 != plan.IPv6Missing || overlay.Addr().Is4() {
		return nil
	}
	return &catalog.Refusal{
		Code: "ipv6-missing", Field: "overlay",
		Message: fmt.Sprintf("the kernel of this host has no IPv6, but the overlay %v is IPv6", overlay),
		Remedy:  bootWithIPv6 + ", or use a federation with an IPv4 overlay (meshctl init --overlay 100.64.0.0/16)",
	}
}
