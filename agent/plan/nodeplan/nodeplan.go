// Package nodeplan computes the plan of a node that is no gateway: the paths to the
// gateways of its datacenter, and the routes, firewall and liveness sessions that they
// need. It is pure.
package nodeplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Compute derives the desired state of a node. Equal inputs give equal results, in
// whichever order their lists are.
//
// Without members the datacenter is in no federation: nothing is desired.
func Compute(in plan.NodeInputs) (plan.NodeDesired, []plan.Problem) {
	if len(in.Inventory.Members) == 0 {
		return plan.NodeDesired{Routes: routes.Config{Table: in.Config.Routing.Table}, Prune: in.Synced, Hold: !in.Synced}, nil
	}
	var found plan.Problems
	n, ok := newNode(in, &found)
	if !ok {
		found.AddError("not-in-inventory", plan.DatacenterSubject(in.Config.Datacenter),
			fmt.Sprintf("datacenter %s of this node is not in the inventory of its cluster; tunnels and routes stay unchanged", in.Config.Datacenter),
			"run kubectl get datacenters, and check that datacenter is the same in the configuration of the gateways and of this node")
		return plan.NodeDesired{Hold: true}, found.Sorted()
	}
	n.reportSilentGateways(&found)
	if left := in.Inventory.Left; left != "" {
		found.AddWarning("left-guarded", plan.DatacenterSubject(in.Config.Datacenter),
			fmt.Sprintf("datacenter %s has left federation %s, and still drops packets to its other datacenters", in.Config.Datacenter, left),
			plan.ReleaseRemedy)
	}
	acceptance.CheckIPv6(in.Host, plan.DatacenterSubject(in.Config.Datacenter), netip.Prefix{}, n.others, &found)
	d := plan.NodeDesired{
		Tunnels:  n.tunnels(),
		Routes:   n.routing(&found),
		Firewall: n.firewall(),
		Sessions: n.sessions(),
		Paths:    n.paths(),
		Pods:     plan.LocalPodCIDRs(in.Host, n.own.Prefixes),
		Prune:    in.Synced,
	}
	switch in.Host.IPv6 {
	case plan.IPv6Everywhere:
	case plan.IPv6InLanes:
		routing.IPv6InLanes(d.Tunnels, &d.Routes)
	case plan.IPv6Missing:
		d.Sessions = routing.WithoutIPv6(d.Tunnels, &d.Routes, d.Sessions)
	}
	return d, found.Sorted()
}

// node is the validated inventory.
type node struct {
	in        plan.NodeInputs
	own       acceptance.Own
	others    []acceptance.Remote                 // sorted by name, without gateways
	through   map[catalog.DatacenterName][]string // Member.Through
	local     []netip.Prefix                      // ranges that stay local although a remote prefix overlaps them, aggregated
	withdrawn []netip.Prefix                      // guarded, and not routed; they overlap no prefix of a datacenter
	reached   []reachedGateway                    // sorted by index
	nexthops  []nodeNexthop                       // sorted by id
	mtu       int                                 // of all routes to other datacenters; 0: that of the devices
}

// newNode validates the inventory. It fails if the own datacenter is missing.
func newNode(in plan.NodeInputs, found *plan.Problems) (node, bool) {
	var records []catalog.Datacenter
	n := node{in: in, through: map[catalog.DatacenterName][]string{}}
	for _, m := range in.Inventory.Members {
		records = append(records, catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
		n.through[m.Name] = m.Through
	}
	records = acceptance.SortedDatacenters(records)
	i := slices.IndexFunc(records, func(d catalog.Datacenter) bool { return d.Name == in.Config.Datacenter })
	if i < 0 {
		return n, false
	}
	own := records[i]
	host := localRangesOfNode(in)
	decision := acceptance.Decide(nil, in.Inventory.Overlay, own, slices.Delete(records, i, i+1), host)
	*found = append(*found, decision.Problems...)
	n.own = acceptance.Own{Datacenter: own, Accepted: decision.Accepted}
	n.others, n.local = decision.Remotes, decision.Local
	n.withdrawn = host.Withdrawn(in.Withdrawn, n.remotePrefixes(), n.own.Accepted)
	n.reached = reachGateways(in, found)
	n.mtu = routeMTU(in, n.reached)
	n.nexthops = nodeNexthops(n.reached, n.mtu)
	return n, true
}

// routing routes the prefixes of each datacenter to the gateways that reach it,
// and the overlay, whose addresses gateways use as source, to any gateway.
func (n node) routing(found *plan.Problems) routes.Config {
	c := routes.Config{Table: n.in.Config.Routing.Table, Sysctls: n.in.Host.Sysctls(n.sysctls())}
	for _, h := range n.nexthops {
		c.Nexthops = append(c.Nexthops, h.Nexthop)
	}
	n.addGatewayRoutes(&c)
	others := slices.Clone(n.others)
	if n.in.Inventory.Overlay.IsValid() {
		// The own datacenter has no group on a node, so its ordinal is free for the overlay.
		others = append(others, acceptance.Remote{Ordinal: n.own.Ordinal, Prefixes: []netip.Prefix{n.in.Inventory.Overlay}})
	}
	for _, f := range routing.Families() {
		before := len(c.Routes)
		source := n.own.SourceAddress(n.in.Host, f)
		for _, dc := range others {
			routing.AddDatacenter(&c, dc, f, source, n.usableNexthops(dc.Name, f), n.mtu)
		}
		if len(c.Routes) == before && len(n.tunnelDevices()) == 0 {
			continue
		}
		c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: n.in.Config.Routing.RulePriority, Mark: n.in.Config.Routing.Mark})
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.BlackholeID(f), Family: f})
		n.reportNoGateway(c.Routes[before:], f, found)
	}
	routing.AddLocal(&c, n.local)
	slices.SortFunc(c.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Routes, routes.CompareRoutes)
	c.Routes = routing.WithGuards(c.Routes, prefixset.Union(prefixset.Aggregate(n.remotePrefixes()), n.withdrawn))
	return c
}

// sysctls returns the kernel settings of a node. A packet from a gateway may come
// by a device that no gateway in use is reached through.
func (n node) sysctls() []routes.Sysctl {
	tunnels := n.tunnelDevices()
	settings := routes.NodeSysctls(slices.Concat(tunnels, n.in.Host.StrictOf(n.trustedIngressDevices())))
	return append(settings, routes.DeviceForwardingSysctls(tunnels)...)
}

// usableNexthops returns the members of a datacenter's group: the gateways that
// reach the datacenter and answer this node. If there are none, those that
// answer are preferred, because gateways have newer and better information than
// the API server. Otherwise those that reach the datacenter are used, and then
// all. If there is no gateway, packets are dropped: they must not leave
// unencrypted.
func (n node) usableNexthops(dc catalog.DatacenterName, f routes.Family) []uint32 {
	reaches := func(h nodeNexthop) bool { return slices.Contains(n.through[dc], h.gateway) }
	answers := func(h nodeNexthop) bool { return !h.silent }
	for _, match := range []func(nodeNexthop) bool{
		func(h nodeNexthop) bool { return reaches(h) && answers(h) },
		answers,
		reaches,
		func(nodeNexthop) bool { return true },
	} {
		var ids []uint32
		for _, h := range n.nexthops {
			if h.Family == f && match(h) {
				ids = append(ids, h.ID)
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return []uint32{routes.BlackholeID(f)}
}

// reportNoGateway reports that no gateway can be reached in a family that has
// routes. A route to the overlay alone does not count, because gateways prefer
// other source addresses.
func (n node) reportNoGateway(needed []routes.Route, f routes.Family, found *plan.Problems) {
	served := slices.ContainsFunc(n.nexthops, func(h nodeNexthop) bool { return h.Family == f })
	only := len(needed) == 1 && needed[0].Prefix == n.in.Inventory.Overlay
	if served || only {
		return
	}
	found.AddError("no-gateway", plan.DatacenterSubject(n.in.Config.Datacenter),
		fmt.Sprintf("no gateway of datacenter %s can be reached over IPv%d from this node; traffic to other datacenters is dropped here",
			n.in.Config.Datacenter, f),
		"label a node as gateway (kubernetes.gatewayLabel), and check that its agent runs")
}

// firewall preserves source addresses, and accepts remote ones only from the
// devices through which gateways send.
func (n node) firewall() routes.Firewall {
	fw := routes.Firewall{
		Local:          prefixset.Aggregate(n.own.Accepted),
		Remote:         prefixset.Union(prefixset.Subtract(prefixset.Aggregate(n.remotePrefixes()), n.local), n.withdrawn),
		TrustedDevices: n.trustedIngressDevices(),
		NodePortSNAT:   routing.NodePortSNAT(n.own.ServicePrefixes(), func(f routes.Family) netip.Addr { return n.own.SourceAddress(n.in.Host, f) }),
		// A node that becomes a gateway keeps this table until it has the catalog, which
		// the leader sends to its control port.
		ControlPort: n.in.Config.Control.Listen.Port(),
		Mark:        n.in.Config.Routing.Mark,
	}
	for _, g := range n.reached {
		if g.tunnel {
			fw.Lanes = append(fw.Lanes, routes.Lane{Device: g.device, Sources: prefixset.Subtract(prefixset.Aggregate(n.allowedIPs(g)), n.local)})
		}
	}
	for _, h := range n.nexthops {
		if h.Via.IsValid() {
			fw.Hops = append(fw.Hops, routes.Hop{Device: h.Device, Address: h.Via})
		}
	}
	routing.SortHops(fw.Hops)
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}

// trustedIngressDevices are the devices on which packets of other datacenters
// are accepted from gateways: the links that gateways are on, and the devices
// of the CNI plugin, through which gateways reach pods here. It corresponds to
// the function of the same name for gateways.
func (n node) trustedIngressDevices() []string {
	devices := slices.Clone(n.overlays())
	for _, g := range n.reached {
		for _, l := range g.links {
			devices = append(devices, l.Device)
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// overlays returns the devices of the CNI plugin if there is a gateway that may
// use them.
func (n node) overlays() []string {
	if len(n.reached) == 0 {
		return nil
	}
	return n.in.Host.Overlays
}

// remotePrefixes returns the prefixes of all other datacenters and the overlay.
func (n node) remotePrefixes() []netip.Prefix {
	var out []netip.Prefix
	if n.in.Inventory.Overlay.IsValid() {
		out = append(out, n.in.Inventory.Overlay)
	}
	for _, dc := range n.others {
		out = append(out, dc.Prefixes...)
	}
	return out
}

// localRangesOfNode returns the ranges of a node, which needs its gateways.
// Whether a gateway of another datacenter is on a link of the node cannot be
// observed here; the gateways decide it.
func localRangesOfNode(in plan.NodeInputs) acceptance.LocalRanges {
	var more []plan.Need
	for _, g := range in.Inventory.Gateways {
		for _, a := range g.Addresses {
			more = append(more, plan.Need{Address: a, Use: "gateway " + g.Name})
		}
	}
	return acceptance.NewLocalRanges(in.Config, in.Host, more)
}
