package plan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// nodeLane is the lane of a gateway that leads to nodes of its own datacenter:
// the one after those to other datacenters.
const nodeLane = maxLanes

// NodePort is the UDP port that a gateway listens on for nodes.
func NodePort(c config.Config) uint16 { return c.WireGuard.Port + nodeLane }

// tunnelAddress is a host's own address in tunnels between nodes and gateways,
// by which the other end asks whether it lives. It follows from the key, so
// that nobody has to hand addresses out; nobody else ever sees it. The prefix
// is a ULA (RFC 4193) with a random global id.
func tunnelAddress(key tunnel.PublicKey) netip.Addr {
	sum := sha256.Sum256(key[:])
	a := [16]byte{0xfd, 0x9b, 0x41, 0x7e, 0xc3, 0x05}
	copy(a[8:], sum[:])
	return netip.AddrFrom16(a)
}

// acceptNodes takes the nodes that can have a tunnel, by name. Of two with the
// same key the first wins.
func acceptNodes(in Inputs, topo topology, found *problems) []NodePeer {
	var out []NodePeer
	taken := map[tunnel.PublicKey]string{tunnel.PublicKey(topo.self.PublicKey): "this gateway"}
	for _, n := range slices.SortedFunc(slices.Values(in.Nodes.Peers), func(a, b NodePeer) int { return cmp.Compare(a.Name, b.Name) }) {
		reason := ""
		switch owner := taken[n.PublicKey]; {
		case n.PublicKey.IsZero():
			reason = "it has no public key"
		case owner != "":
			reason = owner + " has the same public key"
		case len(n.Addresses) == 0:
			reason = "its Node object has no InternalIP"
		case int(n.Port)+int(topo.self.Index) > 65535 || n.Port == 0:
			reason = fmt.Sprintf("there is no UDP port %d", int(n.Port)+int(topo.self.Index))
		}
		if reason != "" {
			found.add(Problem{
				"node-invalid", Error, "node " + n.Name, "no tunnel is made to this node: " + reason,
				"look at kubectl get meshnodes " + n.Name + " and at the agent of that node",
			})
			continue
		}
		taken[n.PublicKey] = "node " + n.Name
		out = append(out, n)
	}
	return out
}

// nodeTunnel is the interface to all nodes that share no link with this
// gateway. The addresses that may come out of it are those that the cluster's
// API gives to the nodes, not what they say themselves.
func nodeTunnel(in Inputs, topo topology) (tunnel.Config, bool) {
	c := tunnel.Config{
		Name:       device(in, nodeLane),
		Lane:       nodeLane,
		ListenPort: NodePort(in.Config),
		Mark:       in.Config.Routing.Mark,
		MTU:        mtu(in),
		Addresses:  []netip.Prefix{hostPrefix(tunnelAddress(tunnel.PublicKey(topo.self.PublicKey)))},
	}
	for _, n := range topo.nodes {
		var candidates []netip.AddrPort
		for _, a := range n.Addresses {
			candidates = append(candidates, netip.AddrPortFrom(a, n.Port+uint16(topo.self.Index))) //nolint:gosec // judged
		}
		c.Peers = append(c.Peers, tunnel.Peer{
			PublicKey:  n.PublicKey,
			Endpoint:   internalEndpoint(in.Host, in.Observed.Tunnels, c.Name, n.PublicKey, candidates, in.Now),
			AllowedIPs: nodeAllowedIPs(n),
		})
	}
	slices.SortFunc(c.Peers, func(a, b tunnel.Peer) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return c, len(c.Peers) > 0
}

// nodeAllowedIPs are the addresses behind a node, and its own.
func nodeAllowedIPs(n NodePeer) []netip.Prefix {
	out := append(nodePrefixes(n), hostPrefix(tunnelAddress(n.PublicKey)))
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

func nodePrefixes(n NodePeer) []netip.Prefix {
	out := slices.Clone(n.PodCIDRs)
	for _, a := range n.Addresses {
		out = append(out, hostPrefix(a))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// addNodeRoutes leads what comes out of the lanes for a node through its
// tunnel, and the answers to its echoes.
func addNodeRoutes(c *routes.Config, in Inputs, topo topology, lanes []string) {
	if len(topo.nodes) == 0 {
		return
	}
	name := device(in, nodeLane)
	for _, f := range topo.nodeFamilies() {
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.LaneNexthopID(nodeLane, f), Family: f, Device: name})
		for _, lane := range lanes {
			c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: in.Config.Routing.RulePriority - 1, In: lane})
		}
	}
	for _, n := range topo.nodes {
		for _, p := range nodePrefixes(n) {
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Nexthop: routes.LaneNexthopID(nodeLane, routes.FamilyOf(p.Addr())), ToNode: true})
		}
		addHostRoute(c, nodeLane, name, tunnelAddress(n.PublicKey), tunnelAddress(tunnel.PublicKey(topo.self.PublicKey)))
	}
	slices.SortFunc(c.Rules, func(a, b routes.Rule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.In, b.In))
	})
}

// nodeDevices is the interface to nodes, if there is one.
func nodeDevices(in Inputs, topo topology) []string {
	if len(topo.nodes) == 0 {
		return nil
	}
	return []string{device(in, nodeLane)}
}

// nodeFamilies are those in which nodes have addresses.
func (topo topology) nodeFamilies() []routes.Family {
	var out []routes.Family
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		if slices.ContainsFunc(topo.nodes, func(n NodePeer) bool { return hasFamily(nodePrefixes(n), f) }) {
			out = append(out, f)
		}
	}
	return out
}

func hasFamily(prefixes []netip.Prefix, f routes.Family) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return routes.FamilyOf(p.Addr()) == f })
}

// nodeFirewallLane is what may come out of the tunnels to nodes. It is no lane to
// another datacenter, but is filtered and clamped like one.
func nodeFirewallLane(in Inputs, topo topology) (routes.Lane, bool) {
	l := routes.Lane{Device: device(in, nodeLane)}
	for _, n := range topo.nodes {
		l.Sources = append(l.Sources, nodeAllowedIPs(n)...)
	}
	slices.SortFunc(l.Sources, netip.Prefix.Compare)
	l.Sources = aggregate(l.Sources)
	return l, len(topo.nodes) > 0
}

// internalEndpoint is where a tunnel inside the datacenter is sent to. While
// it works, the data plane knows best; else the candidates have their turn, 5 s
// each, those first of whose family this host is.
func internalEndpoint(h Host, have []tunnel.Observed, device string, key tunnel.PublicKey, candidates []netip.AddrPort, now time.Time) netip.AddrPort {
	slices.SortFunc(candidates, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(unroutable(h, a.Addr()), unroutable(h, b.Addr())), a.Compare(b))
	})
	candidates = slices.DeleteFunc(candidates, func(e netip.AddrPort) bool { return unroutable(h, e.Addr()) > 0 })
	for _, t := range have {
		for _, p := range t.Peers {
			fresh := !p.LastHandshake.IsZero() && now.Sub(p.LastHandshake) < handshakeLifetime
			if t.Name == device && p.PublicKey == key && p.Endpoint.IsValid() && fresh {
				return p.Endpoint
			}
		}
	}
	if len(candidates) == 0 {
		return netip.AddrPort{}
	}
	return candidates[int(now.Unix()/int64(rotationInterval/time.Second))%len(candidates)]
}
