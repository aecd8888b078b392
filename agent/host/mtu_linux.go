package host

import (
	"context"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/tunnel"
)

// LinkMTU returns the smallest MTU of the links through which packets of the
// tunnels leave to the given addresses; 0 if none of them has a route. It is that
// of the links, and not what ICMP errors report of the path, because it becomes the
// MTU of the interfaces to all peers.
func (h Host) LinkMTU(_ context.Context, to []netip.Addr) int {
	smallest := 0
	for _, addr := range to {
		found, err := netlink.RouteGetWithOptions(addr.AsSlice(), &netlink.RouteGetOptions{Mark: h.Mark})
		if err != nil || len(found) == 0 {
			continue // there is no route at present
		}
		link, err := netlink.LinkByIndex(found[0].LinkIndex)
		if err != nil {
			continue
		}
		a := link.Attrs()
		if a.Flags&net.FlagLoopback != 0 || tunnel.IsLane(h.TunnelPrefix, a.Name) && a.Alias == tunnel.Alias {
			continue
		}
		smallest = smallerMTU(smallest, a.MTU)
	}
	return smallest
}
