package plan

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
)

// Registration is what the catalog should contain about this gateway and, if
// all its gateways agree, about its datacenter.
type Registration struct {
	// Known is false until the addresses of this host and the prefixes of the
	// datacenter have been read; Gateway and Prefixes are not valid then.
	Known        bool
	Gateway      catalog.Gateway
	Prefixes     []catalog.Prefix
	Observations []catalog.Observation // the endpoints at which this gateway sees others
}

// registration derives the record of this gateway from its host: its addresses
// may have changed since it joined.
func registration(in Inputs, topo topology) Registration {
	r := Registration{Observations: observations(in, topo)}
	if !in.Site.Known || !in.Synced.Host {
		return r
	}
	r.Known, r.Gateway, r.Prefixes = true, topo.self, in.Site.Prefixes
	r.Gateway.Endpoints, r.Gateway.Controls = Advertisement(in.Config, in.Site, in.Host)
	r.Gateway.PublicKey, r.Gateway.Version = catalog.Key(in.PublicKey), in.Version
	r.Gateway.Draining = in.Drain != Active
	return r
}

// Advertisement returns the WireGuard endpoints and control addresses at which
// others reach this gateway, in the order in which they try: those of the
// configuration, or else the addresses that the cluster has of its node (the
// external ones first, which the host itself may not have) followed by every
// other address of the host on the underlay.
func Advertisement(cfg config.Config, site Site, host Host) (endpoints, controls []string) {
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

// underlayAddresses returns the addresses of the host outside the pod and
// service prefixes.
func underlayAddresses(prefixes []catalog.Prefix, host Host) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(host.Addresses), func(addr netip.Addr) bool {
		return addr.IsLoopback() || slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool {
			return p.Kind != catalog.NodePrefix && p.CIDR.Contains(addr)
		})
	})
}

func withPort(addresses []netip.Addr, port uint16) []string {
	var hostports []string
	for _, addr := range addresses {
		hostports = append(hostports, netip.AddrPortFrom(addr, port).String())
	}
	return hostports
}
