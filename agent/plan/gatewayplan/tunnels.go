package gatewayplan

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/tunnel"
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
func tunnels(in plan.Inputs, topo topology) []tunnel.Config {
	var out []tunnel.Config
	for n := range topo.lanes() {
		c := tunnel.Config{
			Name:       plan.LaneDevice(in.Config, n),
			Lane:       n,
			ListenPort: in.Config.WireGuard.Port + uint16(n),
			Mark:       in.Config.Routing.Mark,
			MTU:        plan.MTU(in.Config, in.Host),
			Addresses:  laneAddresses(topo.self.Overlay),
		}
		for _, dc := range topo.others {
			for _, p := range dc.gateways {
				if p.Index == n {
					c.Peers = append(c.Peers, tunnelPeer(in, dc, p))
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

// unusedIPv4 is the IPv4 address of lanes that have no other. Without any, the
// kernel drops each packet whose source is routed through another device at that
// moment, even if rp_filter is loose (__fib_validate_source): packets of a
// gateway that drains, and of one that has just failed or returned.
//
// It is a loopback address (of scope host): the kernel never chooses it as a
// source, no network has it, and no program takes it for an address of the host.
// Of 192.0.0.8 (RFC 7600) only the first is true: routers without an IPv4 address
// send ICMP errors from it, and this host would drop those as its own.
func unusedIPv4() netip.Prefix { return prefixset.Host(netip.AddrFrom4([4]byte{127, 77, 87, 1})) }

// laneAddresses returns the addresses of a lane, sorted, given that of this host
// inside its tunnels.
func laneAddresses(own netip.Addr) []netip.Prefix {
	if own.Is4() {
		return []netip.Prefix{prefixset.Host(own)}
	}
	return []netip.Prefix{unusedIPv4(), prefixset.Host(own)}
}

func tunnelPeer(in plan.Inputs, dc remoteDatacenter, p peer) tunnel.Peer {
	t := tunnel.Peer{
		PublicKey:  tunnel.PublicKey(p.PublicKey),
		AllowedIPs: allowedIPs(dc, p),
		Keepalive:  in.Config.WireGuard.Keepalive,
	}
	setEndpoint(in, p, &t)
	return t
}

// allowedIPs returns the addresses that a gateway may send from and receives
// packets for: the prefixes of its datacenter and its overlay address.
func allowedIPs(dc remoteDatacenter, p peer) []netip.Prefix {
	own := prefixset.Host(p.Overlay)
	i, _ := slices.BinarySearchFunc(dc.Prefixes, own, netip.Prefix.Compare)
	out := append(make([]netip.Prefix, 0, len(dc.Prefixes)+1), dc.Prefixes[:i]...)
	return append(append(out, own), dc.Prefixes[i:]...)
}
