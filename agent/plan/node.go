package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// NodeInputs is everything that the plan of a node depends on. A node takes no
// part in the federation: it only routes to the gateways of its datacenter.
type NodeInputs struct {
	Config    config.Config
	PublicKey tunnel.PublicKey // of this node
	Host      Host
	Inventory Inventory
	Observed  Observed
	Synced    bool // Inventory and Host are complete
	Now       time.Time
}

// Inventory is the federation as it is in the API of the own cluster.
type Inventory struct {
	Overlay  netip.Prefix // zero: not known
	Members  []Member     // the own datacenter too
	Gateways []OwnGateway // of the own datacenter
}

// PrefixesOf returns the ranges of one datacenter, or nil if it is not known.
func (i Inventory) PrefixesOf(name catalog.DatacenterName) []catalog.Prefix {
	for _, m := range i.Members {
		if m.Name == name {
			return m.Prefixes
		}
	}
	return nil
}

// Member is one datacenter of the federation.
type Member struct {
	Name     catalog.DatacenterName
	Ordinal  uint32
	Prefixes []catalog.Prefix
	Through  []string // names of the own gateways that reach it
}

// OwnGateway is a gateway of the own datacenter.
type OwnGateway struct {
	Name      string
	Index     uint32
	Addresses []netip.Addr     // of its node
	PublicKey tunnel.PublicKey // of its tunnels to nodes; zero: it has none
	Port      uint16           // UDP, of its tunnels to nodes
}

// NodeDesired is the desired state of a node.
type NodeDesired struct {
	Tunnels  []tunnel.Config // one to each gateway that shares no link, by index
	Routes   routes.Config
	Firewall routes.Firewall
	Sessions []SessionConfig // sorted by gateway
	Paths    []Path          // sorted by gateway
	Pods     []netip.Prefix  // ranges of the pods of this host, derived from its routes; sorted
	Hold     bool            // the inputs are insufficient; change nothing
	Prune    bool            // objects of ours that are not listed here may be deleted
}

// Path is how a node reaches a gateway of its datacenter.
type Path struct {
	Gateway string
	Device  string
	Tunnel  bool // false: the gateway is on the link of Device
}

// Empty reports whether nothing is desired: the datacenter is in no federation.
func (d NodeDesired) Empty() bool {
	return !d.Hold && len(d.Routes.Routes) == 0 && len(d.Firewall.Local) == 0
}

// ComputeNode derives the desired state of a node. Like Compute it is pure, and
// equal inputs give equal results, in whichever order their lists are.
//
// Without members the datacenter is in no federation: nothing is desired.
func ComputeNode(in NodeInputs) (NodeDesired, []Problem) {
	if len(in.Inventory.Members) == 0 {
		return NodeDesired{Routes: routes.Config{Table: in.Config.Routing.Table}, Prune: in.Synced, Hold: !in.Synced}, nil
	}
	var found problems
	n, ok := newNode(in, &found)
	if !ok {
		found.addError("not-in-inventory", datacenterSubject(in.Config.Datacenter),
			fmt.Sprintf("datacenter %s of this node is not in the inventory of its cluster; tunnels and routes stay unchanged", in.Config.Datacenter),
			"run kubectl get datacenters, and check that datacenter is the same in the configuration of the gateways and of this node")
		return NodeDesired{Hold: true}, found.sorted()
	}
	n.reportSilentGateways(&found)
	checkIPv6(in.Host, datacenterSubject(in.Config.Datacenter), netip.Prefix{}, n.others, &found)
	d := NodeDesired{
		Tunnels:  n.tunnels(),
		Routes:   n.routing(&found),
		Firewall: n.firewall(),
		Sessions: n.sessions(),
		Paths:    n.paths(),
		Pods:     localPodCIDRs(in.Host, n.own.Prefixes),
		Prune:    in.Synced,
	}
	if in.Host.NoIPv6 {
		d.Sessions = withoutIPv6(d.Tunnels, &d.Routes, d.Sessions)
	}
	return d, found.sorted()
}

// node is the validated inventory.
type node struct {
	in       NodeInputs
	own      ownDatacenter
	others   []remoteDatacenter                  // sorted by name, without gateways
	through  map[catalog.DatacenterName][]string // Member.Through
	local    []netip.Prefix                      // as in topology
	reached  []reachedGateway                    // sorted by index
	nexthops []nodeNexthop                       // sorted by id
}

// newNode validates the inventory. It fails if the own datacenter is missing.
func newNode(in NodeInputs, found *problems) (node, bool) {
	var records []catalog.Datacenter
	n := node{in: in, through: map[catalog.DatacenterName][]string{}}
	for _, m := range in.Inventory.Members {
		records = append(records, catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
		n.through[m.Name] = m.Through
	}
	records = sortedDatacenters(records)
	i := slices.IndexFunc(records, func(d catalog.Datacenter) bool { return d.Name == in.Config.Datacenter })
	if i < 0 {
		return n, false
	}
	own := records[i]
	n.own, n.others, n.local = acceptPrefixes(in.Inventory.Overlay, own, slices.Delete(records, i, i+1), localRangesOfNode(in), found)
	n.reached = reachGateways(in, found)
	n.nexthops = nodeNexthops(n.reached)
	return n, true
}

// routing routes the prefixes of each datacenter to the gateways that reach it,
// and the overlay, whose addresses gateways use as source, to any gateway.
func (n node) routing(found *problems) routes.Config {
	c := routes.Config{Table: n.in.Config.Routing.Table, Sysctls: n.in.Host.sysctls(n.sysctls())}
	for _, h := range n.nexthops {
		c.Nexthops = append(c.Nexthops, h.Nexthop)
	}
	n.addGatewayRoutes(&c)
	others := slices.Clone(n.others)
	if n.in.Inventory.Overlay.IsValid() {
		// The own datacenter has no group on a node, so its ordinal is free for the overlay.
		others = append(others, remoteDatacenter{ordinal: n.own.Ordinal, prefixes: []netip.Prefix{n.in.Inventory.Overlay}})
	}
	for _, f := range families() {
		before := len(c.Routes)
		source := n.own.sourceAddress(n.in.Host, f)
		for _, dc := range others {
			addDatacenter(&c, dc, f, source, n.groupMembers(dc.name, f), 0)
		}
		if len(c.Routes) == before && len(n.tunnelDevices()) == 0 {
			continue
		}
		c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: n.in.Config.Routing.RulePriority, Mark: n.in.Config.Routing.Mark})
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.BlackholeID(f), Family: f})
		n.reportNoGateway(c.Routes[before:], f, found)
	}
	addLocal(&c, n.local)
	slices.SortFunc(c.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Routes, routes.CompareRoutes)
	c.Routes = withGuards(c.Routes, prefixset.Aggregate(n.remotePrefixes()))
	return c
}

// sysctls returns the kernel settings of a node. A packet from a gateway may come
// by a device that no gateway in use is reached through.
func (n node) sysctls() []routes.Sysctl {
	tunnels := n.tunnelDevices()
	settings := routes.NodeSysctls(slices.Concat(tunnels, n.in.Host.strict(n.trustedIngressDevices())))
	return append(settings, routes.DeviceForwardingSysctls(tunnels)...)
}

// groupMembers returns the members of a datacenter's group: the gateways that
// reach the datacenter and answer this node. If there are none, those that
// answer are preferred, because gateways have newer and better information than
// the API server. Otherwise those that reach the datacenter are used, and then
// all. If there is no gateway, packets are dropped: they must not leave
// unencrypted.
func (n node) groupMembers(dc catalog.DatacenterName, f routes.Family) []uint32 {
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
func (n node) reportNoGateway(needed []routes.Route, f routes.Family, found *problems) {
	served := slices.ContainsFunc(n.nexthops, func(h nodeNexthop) bool { return h.Family == f })
	only := len(needed) == 1 && needed[0].Prefix == n.in.Inventory.Overlay
	if served || only {
		return
	}
	found.addError("no-gateway", datacenterSubject(n.in.Config.Datacenter),
		fmt.Sprintf("no gateway of datacenter %s can be reached over IPv%d from this node; traffic to other datacenters is dropped here",
			n.in.Config.Datacenter, f),
		"label a node as gateway (kubernetes.gatewayLabel), and check that its agent runs")
}

// firewall preserves source addresses, and accepts remote ones only from the
// devices through which gateways send.
func (n node) firewall() routes.Firewall {
	fw := routes.Firewall{
		Local:          prefixset.Aggregate(n.own.accepted),
		Remote:         prefixset.Subtract(prefixset.Aggregate(n.remotePrefixes()), n.local),
		TrustedDevices: n.trustedIngressDevices(),
		NodePortSNAT:   nodePortSNAT(n.own.servicePrefixes(), func(f routes.Family) netip.Addr { return n.own.sourceAddress(n.in.Host, f) }),
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
	sortHops(fw.Hops)
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
			devices = append(devices, l.device)
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
		out = append(out, dc.prefixes...)
	}
	return out
}
