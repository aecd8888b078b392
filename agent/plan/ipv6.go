package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

const enableIPv6 = "run sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0, " +
	"and start the kernel without ipv6.disable=1"

// checkIPv6 reports once that a host lacks IPv6, if the federation uses it.
func checkIPv6(h Host, subject string, overlay netip.Prefix, others []remoteDatacenter, found *problems) {
	if !h.NoIPv6 {
		return
	}
	if overlay.Addr().Is6() {
		found.addError("ipv6-missing", subject,
			fmt.Sprintf("IPv6 is switched off on the host of %s, but the overlay %v of the federation is IPv6: no tunnel can be used", subject, overlay),
			enableIPv6)
		return
	}
	var names []string
	for _, dc := range others {
		if slices.ContainsFunc(dc.prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
			names = append(names, string(dc.name))
		}
	}
	if len(names) > 0 {
		found.addWarning("ipv6-missing", subject,
			fmt.Sprintf("IPv6 is switched off on the host of %s: IPv6 prefixes of %d datacenters are not routed, IPv4 works", subject, len(names)),
			enableIPv6+", or ignore this if no workload here uses IPv6")
	}
}

// refuseIPv6 returns why a host cannot be in a federation with an overlay, or nil.
func refuseIPv6(h Host, overlay netip.Prefix) error {
	if !h.NoIPv6 || overlay.Addr().Is4() {
		return nil
	}
	return &catalog.Refusal{
		Code: "ipv6-missing", Field: "overlay",
		Message: fmt.Sprintf("IPv6 is switched off on this host, but the overlay %v is IPv6", overlay),
		Remedy:  enableIPv6 + ", or use a federation with an IPv4 overlay (meshctl init --overlay 100.64.0.0/16)",
	}
}

// withoutIPv6 removes what a host without IPv6 cannot have.
func withoutIPv6(tunnels []tunnel.Config, c *routes.Config, sessions []SessionConfig) []SessionConfig {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	for i := range tunnels {
		tunnels[i].Addresses = slices.DeleteFunc(tunnels[i].Addresses, is6)
	}
	c.Rules = slices.DeleteFunc(c.Rules, func(r routes.Rule) bool { return r.Family == routes.IPv6 })
	c.Nexthops = slices.DeleteFunc(c.Nexthops, func(n routes.Nexthop) bool { return n.Family == routes.IPv6 })
	c.Groups = slices.DeleteFunc(c.Groups, func(g routes.Group) bool { return g.Family == routes.IPv6 })
	c.Routes = slices.DeleteFunc(c.Routes, func(r routes.Route) bool { return is6(r.Prefix) })
	return slices.DeleteFunc(sessions, func(s SessionConfig) bool { return s.Local.Is6() })
}
