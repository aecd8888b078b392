package gatewayplan

import (
	"net/netip"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// LeftFirewall returns the firewall of a host whose datacenter has left a federation. It
// guards what the host would otherwise send to the other datacenters by its default route.
// There is no tunnel, so that all networks of the host stay local and nothing yields. The
// control port is exempt, by which the datacenter joins again.
func LeftFirewall(cfg config.Config, h plan.Host, site plan.Site, left plan.Left) routes.Firewall {
	cfg.Routing.Yield = nil
	local := localRangesOf(plan.Inputs{Self: cfg.GatewayID(), Config: cfg, Host: h, Site: site})
	own := make([]netip.Prefix, 0, len(site.Prefixes))
	for _, p := range site.Prefixes {
		own = append(own, p.CIDR)
	}
	return routes.Firewall{
		Remote:           local.Withdrawn(left.Prefixes, own),
		ControlPort:      cfg.Control.Listen.Port(),
		PeerControlPorts: left.ControlPorts,
		Mark:             cfg.Routing.Mark,
	}
}
