package nodeplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/agent/plan/tunnelend"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// reachedGateway is a gateway of the own datacenter with the path to it.
type reachedGateway struct {
	plan.OwnGateway
	id     catalog.GatewayID
	device string
	tunnel bool
	links  []plan.LinkAddress // its addresses on links of this node, sorted; none if it is behind a tunnel
	silent bool               // it had the time to answer, and does not
}

// nodeNexthop is the nexthop to a gateway in one family.
type nodeNexthop struct {
	routes.Nexthop
	gateway string
	silent  bool
}

// reachGateways finds the path to each gateway of the datacenter. A gateway on
// a link of this node is reached directly, any other through a tunnel: a
// network between subnets drops packets whose source addresses it does not route.
func reachGateways(in plan.NodeInputs, found *plan.Problems) []reachedGateway {
	var out []reachedGateway
	taken := map[uint32]bool{}
	gateways := slices.SortedFunc(slices.Values(in.Inventory.Gateways), func(a, b plan.OwnGateway) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Name, b.Name))
	})
	for _, g := range gateways {
		// A node that has just lost its gateway label is still listed.
		self := slices.ContainsFunc(g.Addresses, func(a netip.Addr) bool { return slices.Contains(in.Host.Addresses, a) })
		if self {
			continue
		}
		r, ok := reach(in, g)
		reason, remedy := "", "run meshctl members, and remove the gateway that no longer exists with meshctl raft remove-peer"
		switch {
		case g.Index >= plan.MaxLanes:
			reason = fmt.Sprintf("its index %d is greater than %d", g.Index, plan.MaxLanes-1)
			remedy = fmt.Sprintf("a datacenter has at most %d gateways: remove the gateway label from further nodes", plan.MaxLanes)
		case taken[g.Index]:
			reason = fmt.Sprintf("another gateway has the same index %d", g.Index)
		case !ok:
			reason = fmt.Sprintf("none of its addresses %v is on a link of this node, and it offers no tunnel to nodes", g.Addresses)
			remedy = "run the same version of Meshway on all nodes"
		}
		if reason != "" {
			found.AddWarning("gateway-not-reached", plan.GatewaySubject(r.id),
				fmt.Sprintf("this node does not use gateway %s: %s", r.id, reason), remedy)
			continue
		}
		taken[g.Index] = true
		out = append(out, r)
	}
	return out
}

// reach returns the path to a gateway; false if there is none.
func reach(in plan.NodeInputs, g plan.OwnGateway) (reachedGateway, bool) {
	r := reachedGateway{OwnGateway: g, id: catalog.NewGatewayID(in.Config.Datacenter, g.Name)}
	// A silent gateway is only avoided while another one answers. If none
	// does, the network may not pass the probes.
	r.silent = slices.ContainsFunc(in.Observed.Sessions, func(s plan.Session) bool { return s.Gateway == r.id && !s.Up && !s.Undecided })
	for _, a := range slices.SortedFunc(slices.Values(g.Addresses), netip.Addr.Compare) {
		if device, ok := in.Host.DeviceTo(a); ok {
			r.links = append(r.links, plan.LinkAddress{Device: device, Address: a})
		}
	}
	if len(r.links) > 0 {
		r.device = r.links[0].Device
		return r, true
	}
	r.device, r.tunnel = plan.LaneDevice(in.Config, g.Index), true
	return r, !g.PublicKey.IsZero() && g.Port != 0 && g.PublicKey != in.PublicKey && len(g.Addresses) > 0
}

// routeMTU returns the MTU of the routes to other datacenters: the smallest of the tunnels
// to gateways, because each packet may take any of them. It is 0 if all carry what the
// interfaces do.
func routeMTU(in plan.NodeInputs, gateways []reachedGateway) int {
	mtu := 0
	for _, g := range gateways {
		found := in.Observed.PathMTUs[g.id]
		if g.tunnel && found != 0 && found < plan.MTU(in.Config, in.Host) {
			mtu = min(routes.RouteMTU(found), cmp.Or(mtu, routes.RouteMTU(found)))
		}
	}
	return mtu
}

// nodeNexthops returns one nexthop for each family in which a gateway is
// reached, by id. Those of routes with an MTU have other ids: see routes.HostNexthopID.
func nodeNexthops(gateways []reachedGateway, mtu int) []nodeNexthop {
	var nexthops []nodeNexthop
	add := func(g reachedGateway, f routes.Family, device string, via netip.Addr) {
		id := routes.LaneNexthopID(int(g.Index), f)
		if mtu != 0 {
			id = routes.NarrowNexthopID(mtu, int(g.Index), f)
		}
		if !slices.ContainsFunc(nexthops, func(n nodeNexthop) bool { return n.ID == id }) {
			nexthops = append(nexthops, nodeNexthop{routes.Nexthop{ID: id, Family: f, Device: device, Via: via}, g.Name, g.silent})
		}
	}
	for _, g := range gateways {
		for _, l := range g.links {
			add(g, routes.FamilyOf(l.Address), l.Device, l.Address)
		}
		if g.tunnel {
			add(g, routes.IPv4, g.device, netip.Addr{})
			add(g, routes.IPv6, g.device, netip.Addr{})
		}
	}
	slices.SortFunc(nexthops, func(a, b nodeNexthop) int { return cmp.Compare(a.ID, b.ID) })
	return nexthops
}

// tunnels returns one interface for each gateway that shares no link. Each
// needs its own, because all carry the same prefixes and AllowedIPs are unique
// within an interface.
func (n node) tunnels() []tunnel.Config {
	var out []tunnel.Config
	for _, g := range n.reached {
		if !g.tunnel {
			continue
		}
		out = append(out, tunnel.Config{
			Name:       g.device,
			Lane:       g.Index,
			ListenPort: n.in.Config.WireGuard.Port + uint16(g.Index), //nolint:gosec // below plan.MaxLanes
			Mark:       n.in.Config.Routing.Mark,
			MTU:        plan.MTU(n.in.Config, n.in.Host),
			Addresses:  n.ends().Prefixes(n.in.PublicKey),
			Peers:      []tunnel.Peer{n.peer(g)},
		})
	}
	return out
}

// allowedIPs returns the addresses that a gateway may send from through its
// tunnel: those of other datacenters, and its own, which are the source of
// packets that it has translated for a Service (routes.Transit).
func (n node) allowedIPs(g reachedGateway) []netip.Prefix {
	out := append(n.remotePrefixes(), n.ends().Prefixes(g.PublicKey)...)
	for _, a := range g.Addresses {
		out = append(out, prefixset.Host(a))
	}
	return prefixset.Distinct(out)
}

func (n node) peer(g reachedGateway) tunnel.Peer {
	peer := tunnel.Peer{PublicKey: g.PublicKey, AllowedIPs: n.allowedIPs(g), Keepalive: n.in.Config.WireGuard.Keepalive}
	var candidates []netip.AddrPort
	for _, a := range g.Addresses {
		candidates = append(candidates, netip.AddrPortFrom(a, g.Port))
	}
	tunnelend.SetEndpoint(n.in.Host, n.in.Observed.Tunnels, g.device, candidates, n.in.Now, &peer)
	return peer
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

// addGatewayRoutes routes the gateways' ends of the tunnels, whether the
// gateways answer or not. Liveness probes use these routes.
func (n node) addGatewayRoutes(c *routes.Config) {
	for _, g := range n.reached {
		for _, p := range n.ends().Pairs(n.in.PublicKey, g.PublicKey) {
			if g.tunnel {
				routing.AddHostRoute(c, int(g.Index), g.device, p.Remote, p.Local)
			}
		}
	}
}

// sessions returns the liveness sessions, which probe each gateway on the path
// that packets to it take. Of several addresses on links the first is probed; through a
// tunnel, that of each family, because the gateway may lack IPv6.
func (n node) sessions() []plan.SessionConfig {
	var out []plan.SessionConfig
	for _, g := range n.reached {
		pairs := n.ends().Pairs(n.in.PublicKey, g.PublicKey)
		if !g.tunnel {
			pairs = []tunnelend.Pair{{Local: n.in.Host.LocalAddressFor(g.links[0].Address), Remote: g.links[0].Address}}
		}
		for _, p := range pairs {
			if p.Local.IsValid() {
				out = append(out, plan.SessionConfig{Gateway: g.id, Device: g.device, Local: p.Local, Remote: p.Remote, Key: g.PublicKey})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b plan.SessionConfig) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// ends returns the addresses of this node and the gateways in tunnels.
func (n node) ends() tunnelend.Ends {
	used := append(n.remotePrefixes(), n.own.Accepted...)
	return tunnelend.Assign(n.in.PublicKey, n.reached, func(g reachedGateway) tunnel.PublicKey { return g.PublicKey }, used...)
}

// paths returns the paths to the gateways, by gateway.
func (n node) paths() []plan.Path {
	var out []plan.Path
	for _, g := range n.reached {
		out = append(out, plan.Path{Gateway: g.Name, Device: g.device, Tunnel: g.tunnel})
	}
	slices.SortFunc(out, func(a, b plan.Path) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

// reportSilentGateways reports gateways that do not answer while others do.
func (n node) reportSilentGateways(found *plan.Problems) {
	if !slices.ContainsFunc(n.reached, func(g reachedGateway) bool { return !g.silent }) {
		return
	}
	for _, g := range n.reached {
		if g.silent {
			found.AddWarning("gateway-silent", plan.GatewaySubject(g.id),
				fmt.Sprintf("gateway %s does not answer this node, which uses the other gateways", g.id),
				"check the host of that gateway; the network between the nodes must pass ICMP echoes, "+
					"and UDP to wireguard.port of both if they share no link")
		}
	}
}
