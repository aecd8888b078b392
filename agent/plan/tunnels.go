package plan

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/tunnel"
)

// Bytes that WireGuard adds to a packet, and bounds of the MTU. The larger
// overhead is deducted, since an endpoint may change its family at any time.
const (
	maxOverhead = 80   // over IPv6
	minOverhead = 60   // over IPv4
	minMTU      = 1280 // of IPv6 (RFC 8200 §5); below it the kernel disables IPv6
	defaultMTU  = 1420 // for an underlay MTU of 1500
)

// tunnels returns one interface for each lane. Lane N has as peers the gateway
// of index N of every other datacenter: AllowedIPs are unique within an
// interface, so two gateways of one datacenter cannot share it.
//
// Every lane has our overlay address, not only lane 0: when one interface is
// deleted, the sessions of the others continue. An answer may come in through
// any of them, because Linux answers for its addresses on every interface (the
// weak host model) and WireGuard interfaces do neither ARP nor duplicate
// address detection.
func tunnels(in Inputs, topo topology) []tunnel.Config {
	var out []tunnel.Config
	for n := range topo.lanes() {
		c := tunnel.Config{
			Name:       LaneDevice(in.Config, n),
			Lane:       n,
			ListenPort: in.Config.WireGuard.Port + uint16(n),
			Mark:       in.Config.Routing.Mark,
			MTU:        mtu(in.Config, in.Host),
			Addresses:  []netip.Prefix{hostPrefix(topo.self.Overlay)},
		}
		for _, dc := range topo.others {
			for _, p := range dc.gateways {
				if p.Index == n {
					c.Peers = append(c.Peers, tunnelPeer(in, topo, dc, p))
				}
			}
		}
		slices.SortFunc(c.Peers, func(a, b tunnel.Peer) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
		out = append(out, c)
	}
	if c, ok := nodeTunnel(in, topo); ok {
		out = append(out, c)
	}
	return out
}

func tunnelPeer(in Inputs, topo topology, dc remoteDatacenter, p peer) tunnel.Peer {
	return tunnel.Peer{
		PublicKey:  tunnel.PublicKey(p.PublicKey),
		Endpoint:   endpoint(in, topo, p),
		AllowedIPs: allowedIPs(dc, p),
		Keepalive:  in.Config.WireGuard.Keepalive,
	}
}

// allowedIPs returns the addresses that a gateway may send from and receives
// packets for: the prefixes of its datacenter and its overlay address.
func allowedIPs(dc remoteDatacenter, p peer) []netip.Prefix {
	out := append(slices.Clone(dc.prefixes), hostPrefix(p.Overlay))
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// mtu returns the MTU of all lanes, bytes.
func mtu(cfg config.Config, h Host) int {
	switch {
	case cfg.WireGuard.MTU != 0:
		return cfg.WireGuard.MTU
	case h.UnderlayMTU == 0:
		return defaultMTU
	default:
		return max(h.UnderlayMTU-maxOverhead, minMTU)
	}
}
