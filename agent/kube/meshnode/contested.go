package meshnode

import (
	"net/netip"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan/prefixset"
)

// claims are the addresses and the pod ranges in the Nodes of a cluster that have an agent.
// A kubelet writes the addresses of its own Node, and on a compromised node states any. It
// writes its pod ranges, too, where Kubernetes assigns none: assigned reports whether it does.
type claims struct {
	owners map[netip.Addr]string // the name of a node; empty: several
	ranges *prefixset.Index
	names  []string // of the nodes that have the ranges, by number
}

func claimsOf(nodes []kube.Node, assigned bool) claims {
	c := claims{owners: map[netip.Addr]string{}}
	var all []netip.Prefix
	if assigned {
		for _, n := range nodes {
			all = append(all, n.PodCIDRs...)
		}
	}
	c.ranges = prefixset.NewIndex(all)
	for _, n := range nodes {
		for _, a := range n.Addresses {
			if owner, taken := c.owners[a]; taken && owner != n.Name {
				c.owners[a] = ""
			} else {
				c.owners[a] = n.Name
			}
		}
		if !assigned {
			continue
		}
		for _, p := range n.PodCIDRs {
			c.ranges.Add(p)
			c.names = append(c.names, n.Name)
		}
	}
	return c
}

// contested returns the addresses of a node that another node has too, or that are
// in the pod ranges of another node.
func (c claims) contested(n kube.Node) []netip.Addr {
	var out []netip.Addr
	for _, a := range n.Addresses {
		i, found := c.ranges.Longest(a)
		if c.owners[a] != n.Name || found && c.names[i] != n.Name {
			out = append(out, a)
		}
	}
	return out
}
