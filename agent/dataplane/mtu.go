package dataplane

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// underlayMTU returns the smallest MTU of the links towards the peers of the
// tunnels. Without peers it is that of the default route, for those to come; if
// neither is known, that of all links with an address.
func underlayMTU(ctx context.Context, h Host, observed plan.Host, tunnels []tunnel.Observed, advertised map[catalog.GatewayID][]netip.AddrPort) int {
	return cmp.Or(h.LinkMTU(ctx, peerAddresses(tunnels, advertised)), h.LinkMTU(ctx, outside()), observed.UnderlayMTU)
}

// peerAddresses returns the addresses at which tunnels reach their peers, and
// those that gateways advertise while no tunnel has an address: which of them will
// be used is not known yet. They are sorted and distinct.
func peerAddresses(tunnels []tunnel.Observed, advertised map[catalog.GatewayID][]netip.AddrPort) []netip.Addr {
	var list []netip.Addr
	for _, t := range tunnels {
		for _, p := range t.Peers {
			if p.Endpoint.IsValid() {
				list = append(list, p.Endpoint.Addr().Unmap())
			}
		}
	}
	if len(list) == 0 {
		for _, endpoints := range advertised {
			for _, e := range endpoints {
				list = append(list, e.Addr().Unmap())
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// outside returns addresses that match only default routes (RFC 5737, RFC 3849).
func outside() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.MustParseAddr("2001:db8::1")}
}

// addressesOf returns the addresses of the gateways of the own datacenter, as
// endpoints without a port.
func addressesOf(gateways []plan.OwnGateway) map[catalog.GatewayID][]netip.AddrPort {
	found := map[catalog.GatewayID][]netip.AddrPort{}
	for _, g := range gateways {
		for _, a := range g.Addresses {
			id := catalog.GatewayID(g.Name)
			found[id] = append(found[id], netip.AddrPortFrom(a, 0))
		}
	}
	return found
}
