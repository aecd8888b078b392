package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// reachedGateway is an own gateway with the way to it.
type reachedGateway struct {
	OwnGateway
	device        string
	tunnel        bool
	linkAddresses []linkAddress // on the links of this node, sorted; none behind a tunnel
	silent        bool          // it should answer, and does not
}

// linkAddress is an address of a gateway on a link of this node.
type linkAddress struct {
	device string
	netip.Addr
}

// nodeNexthop leads to an own gateway in one family.
type nodeNexthop struct {
	routes.Nexthop
	gateway string
	silent  bool
}

// reachGateways finds the ways to the own gateways: plainly to one that is on
// a link of this node. To another one the packets would be lost on the way, since
// a network between subnets drops sources that it does not know: a tunnel.
func reachGateways(in NodeInputs, found *problems) []reachedGateway {
	var out []reachedGateway
	taken := map[uint32]bool{}
	gateways := slices.SortedFunc(slices.Values(in.Inventory.Gateways), func(a, b OwnGateway) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Name, b.Name))
	})
	for _, g := range gateways {
		// This node itself, as long as the inventory lags behind its label.
		self := slices.ContainsFunc(g.Addresses, func(a netip.Addr) bool { return slices.Contains(in.Host.Addresses, a) })
		if self {
			continue
		}
		r, ok := reach(in, g)
		reason, remedy := "", "look at meshctl members, and remove the gateway that is gone with meshctl raft remove-peer"
		switch {
		case g.Index >= maxLanes:
			reason = fmt.Sprintf("its index %d is over %d", g.Index, maxLanes-1)
		case taken[g.Index]:
			reason = fmt.Sprintf("another one has the same index %d", g.Index)
		case !ok:
			reason = fmt.Sprintf("none of its addresses %v is on a link of this node, and it offers no tunnel to nodes", g.Addresses)
			remedy = "run the same version of Meshway on all nodes"
		}
		if reason != "" {
			found.add(Problem{
				"gateway-not-reached", Warning, gatewayName(catalog.NewGatewayID(in.Config.Datacenter, g.Name)),
				"this node does not use it: " + reason, remedy,
			})
			continue
		}
		taken[g.Index] = true
		out = append(out, r)
	}
	return out
}

func reach(in NodeInputs, g OwnGateway) (reachedGateway, bool) {
	r := reachedGateway{OwnGateway: g, silent: silent(in, g)}
	for _, a := range slices.SortedFunc(slices.Values(g.Addresses), netip.Addr.Compare) {
		if device, ok := in.Host.deviceTo(a); ok {
			r.linkAddresses = append(r.linkAddresses, linkAddress{device, a})
		}
	}
	if len(r.linkAddresses) > 0 {
		r.device = r.linkAddresses[0].device
		return r, true
	}
	r.device, r.tunnel = device(Inputs{Config: in.Config}, g.Index), true
	return r, !g.PublicKey.IsZero() && g.Port != 0 && g.PublicKey != in.PublicKey && len(g.Addresses) > 0
}

// silent tells whether a gateway had its chance to answer. Whether that counts
// is decided where there is a choice: where nobody answers, the network may
// just not let echoes through.
func silent(in NodeInputs, g OwnGateway) bool {
	id := catalog.NewGatewayID(in.Config.Datacenter, g.Name)
	return slices.ContainsFunc(in.Observed.Sessions, func(s Session) bool { return s.Gateway == id && !s.Up && !s.Undecided })
}

// nodeNexthops are one for each family in which a gateway is reached.
func nodeNexthops(gateways []reachedGateway) []nodeNexthop {
	var nexthops []nodeNexthop
	add := func(g reachedGateway, f routes.Family, device string, via netip.Addr) {
		id := routes.LaneNexthopID(int(g.Index), f)
		if !slices.ContainsFunc(nexthops, func(l nodeNexthop) bool { return l.ID == id }) {
			nexthops = append(nexthops, nodeNexthop{routes.Nexthop{ID: id, Family: f, Device: device, Via: via}, g.Name, g.silent})
		}
	}
	for _, g := range gateways {
		for _, a := range g.linkAddresses {
			add(g, routes.FamilyOf(a.Addr), a.device, a.Addr)
		}
		if g.tunnel {
			add(g, routes.IPv4, g.device, netip.Addr{})
			add(g, routes.IPv6, g.device, netip.Addr{})
		}
	}
	slices.SortFunc(nexthops, func(a, b nodeNexthop) int { return cmp.Compare(a.ID, b.ID) })
	return nexthops
}

// tunnels are one interface for each gateway that is on no link, like the
// lanes of gateways: all of them carry the same prefixes, and AllowedIPs are
// unique in an interface.
func (n node) tunnels() []tunnel.Config {
	var out []tunnel.Config
	in := Inputs{Config: n.in.Config, Host: n.in.Host}
	for _, g := range n.reached {
		if !g.tunnel {
			continue
		}
		out = append(out, tunnel.Config{
			Name:       g.device,
			Lane:       g.Index,
			ListenPort: n.in.Config.WireGuard.Port + uint16(g.Index), //nolint:gosec // below maxLanes
			Mark:       n.in.Config.Routing.Mark,
			MTU:        mtu(in),
			Addresses:  []netip.Prefix{hostPrefix(tunnelAddress(n.in.PublicKey))},
			Peers: []tunnel.Peer{{
				PublicKey:  g.PublicKey,
				Endpoint:   n.endpoint(g),
				AllowedIPs: n.allowedIPs(g),
				Keepalive:  n.in.Config.WireGuard.Keepalive,
			}},
		})
	}
	return out
}

// allowedIPs are the addresses that a gateway may send from through its tunnel:
// those of other datacenters, and its own, with which it sends what it has
// translated for a Service (routes.Transit).
func (n node) allowedIPs(g reachedGateway) []netip.Prefix {
	out := append(n.remotePrefixes(), hostPrefix(tunnelAddress(g.PublicKey)))
	for _, a := range g.Addresses {
		out = append(out, hostPrefix(a))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func (n node) endpoint(g reachedGateway) netip.AddrPort {
	var candidates []netip.AddrPort
	for _, a := range g.Addresses {
		candidates = append(candidates, netip.AddrPortFrom(a, g.Port))
	}
	return internalEndpoint(n.in.Host, n.in.Observed.Tunnels, g.device, g.PublicKey, candidates, n.in.Now)
}

func (n node) tunnelDevices() []string {
	var out []string
	for _, g := range n.reached {
		if g.tunnel {
			out = append(out, g.device)
		}
	}
	return out
}

// addGatewayRoutes leads to the gateways' own ends of the tunnels, by which they
// are asked whether they live: always, and by no other way.
func (n node) addGatewayRoutes(c *routes.Config) {
	for _, g := range n.reached {
		if g.tunnel {
			addHostRoute(c, int(g.Index), g.device, tunnelAddress(g.PublicKey), tunnelAddress(n.in.PublicKey))
		}
	}
}

// sessions ask each gateway by the way that packets to it take. A gateway that
// has several addresses on links is asked by the first.
func (n node) sessions() []SessionConfig {
	var out []SessionConfig
	for _, g := range n.reached {
		s := SessionConfig{
			Gateway: catalog.NewGatewayID(n.in.Config.Datacenter, g.Name), Device: g.device, Key: g.PublicKey,
			Local: tunnelAddress(n.in.PublicKey), Remote: tunnelAddress(g.PublicKey),
		}
		if !g.tunnel {
			s.Local, s.Remote = n.in.Host.localAddressFor(g.linkAddresses[0].Addr), g.linkAddresses[0].Addr
		}
		if s.Local.IsValid() {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b SessionConfig) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// localAddressFor is the least address of this host that shares a link with another.
func (h Host) localAddressFor(a netip.Addr) netip.Addr {
	best := netip.Addr{}
	for _, l := range h.Links {
		for _, p := range l.Prefixes {
			for _, own := range h.Addresses {
				if p.Contains(a) && p.Contains(own) && (!best.IsValid() || own.Less(best)) {
					best = own
				}
			}
		}
	}
	return best
}

// paths are what this node tells of its gateways.
func (n node) paths() []Path {
	var out []Path
	for _, g := range n.reached {
		out = append(out, Path{Gateway: g.Name, Device: g.device, Tunnel: g.tunnel})
	}
	slices.SortFunc(out, func(a, b Path) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// reportSilentGateways names gateways that do not answer while others do.
func (n node) reportSilentGateways(found *problems) {
	if !slices.ContainsFunc(n.reached, func(g reachedGateway) bool { return !g.silent }) {
		return
	}
	for _, g := range n.reached {
		if g.silent {
			found.add(Problem{
				"gateway-silent", Warning, gatewayName(catalog.NewGatewayID(n.in.Config.Datacenter, g.Name)),
				"it does not answer this node, which sends through the other gateways",
				"look at that node; the network between the nodes must carry ICMP echoes, and UDP to wireguard.port of both if they share no link",
			})
		}
	}
}
