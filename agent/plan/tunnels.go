package plan

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/tunnel"
)

// MTU arithmetic. WireGuard adds 60 bytes over IPv4 and 80 over IPv6; the
// larger is taken, since an endpoint may change its family at any time.
const (
	maxOverhead = 80
	minOverhead = 60
	minMTU      = 1280 // of IPv6 (RFC 8200 §5); below it the kernel turns IPv6 off
	defaultMTU  = 1420 // of an underlay with 1500
)

// tunnels are the interfaces, one a lane. Lane N holds of every other
// datacenter the gateway of index N, since AllowedIPs are unique in an interface.
//
// Every lane has our overlay address, and not lane 0 alone: should somebody
// delete one interface, the others keep their sessions. Which of them an
// answer comes in by does not matter; Linux answers for its addresses on
// every interface (the weak host model), and WireGuard interfaces do neither
// ARP nor duplicate address detection.
func tunnels(in Inputs, topo topology) []tunnel.Config {
	var out []tunnel.Config
	for n := range topo.lanes() {
		c := tunnel.Config{
			Name:       device(in, n),
			Lane:       n,
			ListenPort: in.Config.WireGuard.Port + uint16(n),
			Mark:       in.Config.Routing.Mark,
			MTU:        mtu(in),
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

// allowedIPs are the addresses that a gateway may send from and be sent for:
// those of its datacenter, and its own in the overlay.
func allowedIPs(dc remoteDatacenter, p peer) []netip.Prefix {
	out := append(slices.Clone(dc.prefixes), hostPrefix(p.Overlay))
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// mtu of all lanes, bytes.
func mtu(in Inputs) int {
	switch {
	case in.Config.WireGuard.MTU != 0:
		return in.Config.WireGuard.MTU
	case in.Host.UnderlayMTU == 0:
		return defaultMTU
	default:
		return max(in.Host.UnderlayMTU-maxOverhead, minMTU)
	}
}
