package dataplane

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Advertisement returns the WireGuard endpoints and control addresses at which
// others reach this gateway, in the order in which they try: those of the
// configuration, or else the addresses that the cluster has of its node (the
// external ones first, which the host itself may not have) followed by every
// other address of the host on the underlay.
func Advertisement(cfg config.Config, site plan.Site, host plan.Host) (endpoints, controls []string) {
	endpoints, controls = cfg.WireGuard.Advertise, cfg.Control.Advertise
	underlay := slices.Clone(site.Addresses)
	for _, addr := range underlayAddresses(site.Prefixes, host) {
		if !slices.Contains(underlay, addr) {
			underlay = append(underlay, addr)
		}
	}
	if len(endpoints) == 0 {
		endpoints = withPort(underlay, cfg.WireGuard.Port)
	}
	if len(controls) == 0 {
		controls = withPort(underlay, cfg.Control.Listen.Port())
	}
	return endpoints, controls
}

func underlayAddresses(prefixes []catalog.Prefix, host plan.Host) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(host.Addresses), func(addr netip.Addr) bool {
		return addr.IsLoopback() || slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool {
			return p.Kind != catalog.NodePrefix && p.CIDR.Contains(addr)
		})
	})
}

func withPort(addresses []netip.Addr, port uint16) []string {
	var hostports []string
	for _, addr := range addresses {
		hostports = append(hostports, net.JoinHostPort(addr.String(), strconv.Itoa(int(port))))
	}
	return hostports
}
