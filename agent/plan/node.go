package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/config"
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
	Synced    bool // the inventory is complete, and the host was looked at
	Now       time.Time
}

// Inventory is the federation as the API of the own cluster tells it.
type Inventory struct {
	Overlay  netip.Prefix // zero: not known
	Members  []Member     // the own datacenter too
	Gateways []OwnGateway // of the own datacenter
}

// PrefixesOf are the ranges of one datacenter; none if it is not known.
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

// NodeDesired is what should be on a node.
type NodeDesired struct {
	Tunnels  []tunnel.Config // one to each gateway that is on no link, by index
	Routes   routes.Config
	Firewall routes.Firewall
	Sessions []SessionConfig // sorted by gateway
	Paths    []Path          // sorted by gateway
	Pods     []netip.Prefix  // ranges of the pods of this host, as its routes tell; sorted
	Hold     bool            // too little is known: touch nothing
	Prune    bool            // what is ours and not in here may be deleted
}

// Path is how a node reaches a gateway of its datacenter.
type Path struct {
	Gateway string
	Device  string
	Tunnel  bool // else the gateway is on the device's link
}

// Empty tells whether nothing is desired: the datacenter is in no federation.
func (d NodeDesired) Empty() bool {
	return !d.Hold && len(d.Routes.Routes) == 0 && len(d.Firewall.Local) == 0
}

// ComputeNode derives what should be on a node. Like Compute it is pure, and
// gives equal results for equal inputs in whatever order.
//
// Without members the datacenter is in no federation: nothing is desired.
func ComputeNode(in NodeInputs) (NodeDesired, []Problem) {
	if len(in.Inventory.Members) == 0 {
		return NodeDesired{Routes: routes.Config{Table: in.Config.Routing.Table}, Prune: in.Synced, Hold: !in.Synced}, nil
	}
	var found problems
	n, ok := newNode(in, &found)
	if !ok {
		found.add(Problem{
			"not-in-inventory", Error, datacenterName(in.Config.Datacenter),
			"this node's datacenter is not in the inventory of its cluster; everything stays as it is",
			"see kubectl get datacenters; check that datacenter is the same in the configuration of the gateways and of this node",
		})
		return NodeDesired{Hold: true}, found.sorted()
	}
	n.reportSilentGateways(&found)
	return NodeDesired{
		Tunnels: n.tunnels(), Routes: n.routing(&found), Firewall: n.firewall(),
		Sessions: n.sessions(), Paths: n.paths(), Pods: localPodCIDRs(in.Host, n.own.own.Prefixes), Prune: in.Synced,
	}, found.sorted()
}

// node is the inventory after judgement.
type node struct {
	in       NodeInputs
	own      topology // only own, local and others are of meaning
	ordinal  uint32   // of the own datacenter
	through  map[catalog.DatacenterName][]string
	reached  []reachedGateway // sorted by index
	nexthops []nodeNexthop    // sorted by id
}

func newNode(in NodeInputs, found *problems) (node, bool) {
	var records []catalog.Datacenter
	n := node{in: in, through: map[catalog.DatacenterName][]string{}}
	for _, m := range in.Inventory.Members {
		records = append(records, catalog.Datacenter{Name: m.Name, Ordinal: m.Ordinal, Prefixes: m.Prefixes})
		n.through[m.Name] = m.Through
	}
	records = sortedDatacenters(records)
	own := slices.IndexFunc(records, func(d catalog.Datacenter) bool { return d.Name == in.Config.Datacenter })
	if own < 0 {
		return n, false
	}
	n.own.own, n.ordinal = records[own], records[own].Ordinal
	judged := Inputs{Catalog: Catalog{Federation: catalog.Federation{Overlay: in.Inventory.Overlay}}}
	n.own.local, n.own.others = acceptPrefixes(judged, n.own.own, slices.Delete(records, own, own+1), found)
	n.reached = reachGateways(in, found)
	n.nexthops = nodeNexthops(n.reached)
	return n, true
}

// routing leads the prefixes of each datacenter to the gateways that reach it,
// and the overlay, from which gateways themselves speak, to any.
func (n node) routing(found *problems) routes.Config {
	c := routes.Config{Table: n.in.Config.Routing.Table, Sysctls: routes.NodeSysctls(slices.Concat(n.tunnelDevices(), n.overlays()))}
	for _, l := range n.nexthops {
		c.Nexthops = append(c.Nexthops, l.Nexthop)
	}
	n.addGatewayRoutes(&c)
	others := slices.Clone(n.own.others)
	if n.in.Inventory.Overlay.IsValid() {
		others = append(others, remoteDatacenter{ordinal: n.ordinal, prefixes: []netip.Prefix{n.in.Inventory.Overlay}})
	}
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		before := len(c.Routes)
		for _, dc := range others {
			n.addDatacenter(&c, dc, f)
		}
		if len(c.Routes) == before {
			continue
		}
		c.Rules = append(c.Rules, routes.Rule{Family: f, Priority: n.in.Config.Routing.RulePriority, Mark: n.in.Config.Routing.Mark})
		c.Nexthops = append(c.Nexthops, routes.Nexthop{ID: routes.BlackholeID(f), Family: f})
		n.reportNoGateway(c.Routes[before:], f, found)
	}
	slices.SortFunc(c.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Routes, func(a, b routes.Route) int { return a.Prefix.Compare(b.Prefix) })
	return c
}

func (n node) addDatacenter(c *routes.Config, dc remoteDatacenter, f routes.Family) {
	group := routes.Group{ID: routes.GroupID(int(dc.ordinal), f), Family: f, Members: n.members(dc.name, f)}
	from := sourceAddress(Inputs{Host: n.in.Host}, n.own, f)
	used := false
	for _, p := range dc.prefixes {
		if routes.FamilyOf(p.Addr()) == f {
			used = true
			c.Routes = append(c.Routes, routes.Route{Prefix: p, Nexthop: group.ID, Source: from})
		}
	}
	if used {
		c.Groups = append(c.Groups, group)
	}
}

// members are the gateways that reach a datacenter and answer. When none does
// both, one that answers is better: gateways know better, and sooner, than the
// API server. The last ones stay, whatever is said of them. When there is none
// at all, packets are dropped: they must not leave in plain text.
func (n node) members(dc catalog.DatacenterName, f routes.Family) []uint32 {
	reaches := func(l nodeNexthop) bool { return slices.Contains(n.through[dc], l.gateway) }
	answers := func(l nodeNexthop) bool { return !l.silent }
	for _, take := range []func(nodeNexthop) bool{
		func(l nodeNexthop) bool { return reaches(l) && answers(l) },
		answers,
		reaches,
		func(nodeNexthop) bool { return true },
	} {
		var ids []uint32
		for _, l := range n.nexthops {
			if l.Family == f && take(l) {
				ids = append(ids, l.ID)
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return []uint32{routes.BlackholeID(f)}
}

// reportNoGateway tells of a family that is needed and in which no gateway can be
// reached. The overlay alone is no need: gateways prefer other addresses.
func (n node) reportNoGateway(needed []routes.Route, f routes.Family, found *problems) {
	served := slices.ContainsFunc(n.nexthops, func(l nodeNexthop) bool { return l.Family == f })
	only := len(needed) == 1 && needed[0].Prefix == n.in.Inventory.Overlay
	if served || only {
		return
	}
	found.add(Problem{
		"no-gateway", Error, datacenterName(n.in.Config.Datacenter),
		fmt.Sprintf("no gateway of this datacenter can be reached by IPv%d from this node; traffic to other datacenters is dropped here", f),
		"label a node as gateway (kubernetes.gatewayLabel), and see that its agent runs",
	})
}

// firewall keeps source addresses as they are, and lets remote ones in only
// from where the gateways are.
func (n node) firewall() routes.Firewall {
	fw := routes.Firewall{Local: aggregate(n.own.local), Remote: aggregate(n.remotePrefixes())}
	for _, g := range n.reached {
		if g.tunnel {
			fw.Lanes = append(fw.Lanes, routes.Lane{Device: g.device, Sources: aggregate(n.allowedIPs(g))})
		}
	}
	fw.TrustedDevices = n.trustedIngressDevices()
	fw.NodePortSNAT = nodePortSNAT(Inputs{Host: n.in.Host}, n.own)
	slices.SortFunc(fw.Lanes, func(a, b routes.Lane) int { return cmp.Compare(a.Device, b.Device) })
	return fw
}

// trustedIngressDevices are the devices by which gateways send what came out of their
// lanes for a pod of this node: their links, and what the CNI plugin carries
// packets in, which is how they reach pods here. It is as on gateways.
func (n node) trustedIngressDevices() []string {
	devices := slices.Clone(n.overlays())
	for _, g := range n.reached {
		for _, at := range g.linkAddresses {
			devices = append(devices, at.device)
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// overlays are the CNI plugin's, as long as there is a gateway to use them.
// The way back is another one.
func (n node) overlays() []string {
	if len(n.reached) == 0 {
		return nil
	}
	return n.in.Host.Overlays
}

// remotePrefixes are the prefixes of all other datacenters and the overlay, sorted.
func (n node) remotePrefixes() []netip.Prefix {
	var out []netip.Prefix
	if n.in.Inventory.Overlay.IsValid() {
		out = append(out, n.in.Inventory.Overlay)
	}
	for _, dc := range n.own.others {
		out = append(out, dc.prefixes...)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}
