package gatewayplan

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/agent/plan/tunnelend"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// key returns the key of this gateway.
func (topo topology) key() tunnel.PublicKey { return tunnel.PublicKey(topo.self.PublicKey) }

// ends returns the addresses of this gateway and its nodes in the tunnels.
func (topo topology) ends() tunnelend.Ends {
	if len(topo.nodes) == 0 {
		return nil
	}
	used := slices.Concat(topo.own.Accepted, topo.decision.Used)
	return tunnelend.Assign(topo.key(), topo.nodes, func(n plan.NodePeer) tunnel.PublicKey { return n.PublicKey }, used...)
}

// acceptNodes returns the nodes that can have a tunnel, by name. Of two with
// the same key the first wins.
func acceptNodes(in plan.Inputs, topo topology, found *plan.Problems) []plan.NodePeer {
	var out []plan.NodePeer
	taken := map[tunnel.PublicKey]string{topo.key(): "this gateway"}
	for _, n := range slices.SortedFunc(slices.Values(in.Site.Nodes.Peers), func(a, b plan.NodePeer) int { return cmp.Compare(a.Name, b.Name) }) {
		reason := ""
		port := int(n.Port) + int(topo.self.Index)
		switch owner := taken[n.PublicKey]; {
		case n.PublicKey.IsZero():
			reason = "it has no public key"
		case owner != "":
			reason = owner + " has the same public key"
		case len(n.Addresses) == 0:
			reason = "its Node object has no InternalIP"
		case port > 65535 || n.Port == 0:
			reason = fmt.Sprintf("there is no UDP port %d", port)
		}
		if reason != "" {
			found.AddError("node-invalid", plan.NodeSubject(n.Name),
				fmt.Sprintf("no tunnel is created to node %s: %s", n.Name, reason),
				fmt.Sprintf("run kubectl get meshnodes %s -o yaml, and check the log of the agent on that node", n.Name))
			continue
		}
		if len(n.Contested) > 0 {
			found.AddWarning("node-addresses-contested", plan.NodeSubject(n.Name),
				fmt.Sprintf("packets to %s do not enter the tunnel to node %s: another node has the same address, or has it in its pod ranges", n.Contested[0], n.Name),
				"run kubectl get nodes -o yaml and compare status.addresses and spec.podCIDRs; a node that states addresses of others may be compromised")
		}
		taken[n.PublicKey] = plan.NodeSubject(n.Name)
		out = append(out, n)
	}
	return out
}

// nodeTunnel returns the interface to all nodes that share no link with this
// gateway; false if there are none. Its AllowedIPs are the addresses that the
// cluster's API has for the nodes, not those that they report.
func nodeTunnel(in plan.Inputs, topo topology) (tunnel.Config, bool) {
	ends := topo.ends()
	c := tunnel.Config{
		Name:       plan.LaneDevice(in.Config, plan.NodeLane),
		Lane:       plan.NodeLane,
		ListenPort: plan.NodePort(in.Config),
		Mark:       in.Config.Routing.Mark,
		MTU:        plan.MTU(in.Config, in.Host),
		Addresses:  ends.Prefixes(topo.key()),
	}
	for _, n := range topo.nodes {
		var candidates []netip.AddrPort
		for _, a := range n.Addresses {
			candidates = append(candidates, netip.AddrPortFrom(a, n.Port+uint16(topo.self.Index))) //nolint:gosec // acceptNodes checked the sum
		}
		peer := tunnel.Peer{PublicKey: n.PublicKey, AllowedIPs: nodeAllowedIPs(n, ends)}
		tunnelend.SetEndpoint(in.Host, in.Observed.Tunnels, c.Name, candidates, in.Now, &peer)
		c.Peers = append(c.Peers, peer)
	}
	slices.SortFunc(c.Peers, func(a, b tunnel.Peer) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return c, len(c.Peers) > 0
}

// nodeAllowedIPs returns the addresses of a node, of its pods and of its end
// of the tunnel, sorted.
func nodeAllowedIPs(n plan.NodePeer, ends tunnelend.Ends) []netip.Prefix {
	out := append(nodePrefixes(n), ends.Prefixes(n.PublicKey)...)
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// nodePrefixes returns the addresses of a node and of its pods, sorted. A contested
// address is that of no node: a compromised one could state the addresses of others to
// receive their packets. It remains a candidate for the endpoint, since the handshake
// proves the key of the node.
func nodePrefixes(n plan.NodePeer) []netip.Prefix {
	out := slices.Clone(n.PodCIDRs)
	for _, a := range n.Addresses {
		if !slices.Contains(n.Contested, a) {
			out = append(out, prefixset.Host(a))
		}
	}
	return prefixset.Distinct(out)
}

// addNodeRoutes routes packets that come out of the lanes for a node through
// the tunnel to it, and liveness replies to its end of the tunnel.
func addNodeRoutes(c *routes.Config, in plan.Inputs, topo topology, lanes []string) {
	if len(topo.nodes) == 0 {
		return
	}
	name, ends := plan.LaneDevice(in.Config, plan.NodeLane), topo.ends()
	for _, f := range topo.nodeFamilies() {
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.LaneNexthopID(plan.NodeLane, f), Family: f, Device: name})
		for _, lane := range lanes {
			c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: in.Config.Routing.RulePriority - 1, In: lane})
		}
	}
	for _, n := range topo.nodes {
		for _, p := range nodePrefixes(n) {
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Nexthop: routes.LaneNexthopID(plan.NodeLane, routes.FamilyOf(p.Addr())), ToNode: true})
		}
		for _, p := range ends.Pairs(topo.key(), n.PublicKey) {
			routing.AddHostRoute(c, plan.NodeLane, name, p.Remote, p.Local)
		}
	}
	slices.SortFunc(c.Rules, func(a, b routes.Rule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.In, b.In))
	})
}

// nodeDevices returns the interface to nodes, if there is one.
func nodeDevices(in plan.Inputs, topo topology) []string {
	if len(topo.nodes) == 0 {
		return nil
	}
	return []string{plan.LaneDevice(in.Config, plan.NodeLane)}
}

// nodeFamilies returns the address families in which nodes have addresses.
func (topo topology) nodeFamilies() []routes.Family {
	return slices.DeleteFunc(routing.Families(), func(f routes.Family) bool {
		return !slices.ContainsFunc(topo.nodes, func(n plan.NodePeer) bool { return routing.HasFamily(nodePrefixes(n), f) })
	})
}

// nodeFirewallLane returns the source addresses that are accepted from the
// tunnels to nodes; false if there are no nodes. The interface to nodes is
// filtered and clamped like a lane to other datacenters.
func nodeFirewallLane(in plan.Inputs, topo topology) (routes.Lane, bool) {
	var sources []netip.Prefix
	ends := topo.ends()
	for _, n := range topo.nodes {
		sources = append(sources, nodeAllowedIPs(n, ends)...)
	}
	return routes.Lane{Device: plan.LaneDevice(in.Config, plan.NodeLane), Sources: prefixset.Aggregate(sources)}, len(topo.nodes) > 0
}
