package agent

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// advertisement returns where others reach this gateway: what the
// configuration says, else every address of the host on the underlay.
func advertisement(cfg config.Config, prefixes []catalog.Prefix, host plan.Host) (endpoints, controls []string) {
	endpoints, controls = cfg.WireGuard.Advertise, cfg.Control.Advertise
	underlay := underlayAddresses(prefixes, host)
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
