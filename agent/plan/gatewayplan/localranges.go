package gatewayplan

import (
	"net/netip"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/consensus/catalog"
)

// localRangesOf returns the ranges of a gateway's host. It needs its siblings
// and the nodes of its datacenter, too.
func localRangesOf(in plan.Inputs) acceptance.LocalRanges {
	var more []plan.Need
	for id, endpoints := range in.Endpoints {
		for _, e := range endpoints {
			if id.Datacenter() == in.Self.Datacenter() {
				more = append(more, plan.Need{Address: e.Addr(), Use: plan.GatewaySubject(id)})
			}
		}
	}
	for _, n := range in.Site.Nodes.Peers {
		for _, a := range n.Addresses {
			more = append(more, plan.Need{Address: a, Use: plan.NodeSubject(n.Name)})
		}
	}
	l := acceptance.NewLocalRanges(in.Config, in.Host, more)
	// A datacenter could advertise any address. A handshake proves that the gateway is
	// there.
	l.Reached = map[catalog.DatacenterName][]netip.Addr{}
	observed := newObserved(in)
	for _, g := range in.Catalog.Gateways {
		if seen := observed.tunnel(in, g); !seen.LastHandshake.IsZero() {
			l.Reached[g.Datacenter] = append(l.Reached[g.Datacenter], seen.Endpoint.Addr().Unmap())
		}
	}
	return l
}
