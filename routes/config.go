package routes

import (
	"net/netip"
	"slices"
)

// These values identify Meshway's entries in the kernel.
const (
	DefaultTable        = 7117       // Meshway's routing table
	DefaultRulePriority = 5400       // of the rule that selects the table
	DefaultMark         = 0x20       // packets with this bit do not use the table
	DefaultProtocol     = 157        // rtm_protocol of routes, rules and nexthops
	NexthopBase         = 0x4d570000 // nexthop ids are NexthopBase … NexthopBase+0xffff
	FirewallTable       = "meshway"  // nft table, family inet
)

// GuardMetric is the metric of guard routes, which every other route precedes. The
// kernel's documentation recommends it for the last route of a table
// (Documentation/networking/vrf.rst). Standby routes come right before.
const (
	GuardMetric   uint32 = 4278198272
	StandbyMetric        = GuardMetric - 1
)

// NodesTable returns the number of Meshway's second table, given the configured
// one. It has the routes to hosts of the own datacenter that are reached through
// a tunnel. Only packets that arrive on a lane use it.
func NodesTable(table int) int { return table + 1 }

// Config is the desired state of Meshway's part of the kernel's routing. Its
// slices are sorted, so that equal configurations compare equal.
type Config struct {
	Table    int
	Rules    []Rule
	Nexthops []Nexthop // sorted by ID
	Groups   []Group   // sorted by ID
	Routes   []Route   // sorted by prefix and metric, those of NodesTable last
	Sysctls  []Sysctl  // sorted by key
}

// Family is an address family.
type Family int

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Rule is a policy rule of one family: "not fwmark Mark/Mark lookup Table", or,
// if In is set, "iif In lookup NodesTable".
type Rule struct {
	Family   Family
	Priority int
	Mark     uint32
	In       string // device on which the packet arrived; empty: any
}

// Nexthop is a nexthop object: a device, a router on the link of a device, or a
// blackhole.
type Nexthop struct {
	ID     uint32
	Family Family
	Device string     // empty: blackhole
	Via    netip.Addr // router on the device's link, of the same family; zero: none
}

// Group is a nexthop group, over whose members flows are distributed by hash. A
// group without usable nexthops has the blackhole as its member, so that packets
// of pods are never sent unencrypted along another route.
type Group struct {
	ID      uint32
	Family  Family
	Members []uint32 // nexthop ids, sorted; never empty
}

// RouteKind is what a route does with a packet.
type RouteKind uint8

// The kinds of routes.
const (
	ToNexthop RouteKind = iota // sends it to the nexthop
	Throw                      // ends the lookup in the table, so that the rules after Meshway's decide
	// Guard drops packets while the prefix has no other route: the kernel deletes
	// the others with their devices or nexthop objects.
	Guard
	// Standby sends packets to the nexthop while the prefix has no other route but
	// a guard.
	Standby
)

// Metric returns the metric of routes of a kind; 0: the kernel's default.
func (k RouteKind) Metric() uint32 {
	switch k {
	case Guard:
		return GuardMetric
	case Standby:
		return StandbyMetric
	default:
		return 0
	}
}

// Route routes a prefix to a nexthop or a group, excludes it from the table, or
// guards it.
type Route struct { // up to 100 000 are compared, so that its fields leave no gaps
	Prefix  netip.Prefix
	Source  netip.Addr // preferred source of packets of this host; zero: the kernel chooses
	MTU     int        // bytes, of MTUs; 0: that of the device
	Nexthop uint32     // id of a Nexthop or Group; 0 for Throw and Guard
	Kind    RouteKind
	ToNode  bool // the route is in NodesTable
}

// Sysctl is a kernel setting below /proc/sys.
type Sysctl struct {
	Key   string // path below /proc/sys: net/ipv4/ip_forward
	Value string
}

// Firewall is the content of Meshway's nft table.
type Firewall struct {
	Lanes       []Lane         // sorted by device
	Local       []netip.Prefix // of this datacenter, sorted
	Remote      []netip.Prefix // of all other datacenters and the overlay, sorted; overlaps no Local
	TunnelPorts []uint16       // UDP ports of the lanes, exempt from anti-spoofing on the underlay
	ControlPort uint16         // TCP port, exempt likewise for a peer whose node address is in Remote
	// PeerControlPorts are the TCP ports of peers that differ from ControlPort.
	// Packets from them are exempt likewise, except for a bare SYN.
	PeerControlPorts []uint16
	// TrustedDevices are the devices over which siblings forward packets from
	// their lanes to this host, sorted: links, and the CNI's overlays. On these
	// devices, packets from Remote to Local are accepted.
	TrustedDevices []string
	// Transit is set on a gateway whose datacenter has several gateways.
	Transit Transit
	// NodePortSNAT is set on a host that replies from other datacenters may bypass.
	NodePortSNAT NodePortSNAT
	// Mark is the mark of the packets between this host and peers outside of the
	// tunnels, in both directions: encrypted ones, and those of the control port.
	Mark uint32
	// Confine limits what can be reached from lanes. The zero value does not.
	Confine Confine
	// Hops are the other hosts of this datacenter to which packets to Remote are
	// forwarded outside of lanes, sorted. All others of them leave by a lane.
	Hops []Hop
}

// Confine limits the destinations of packets from lanes to other datacenters: to
// Local, and on this host to liveness, the control port and ICMP.
type Confine struct {
	Lanes        []string   // devices, sorted
	Address      netip.Addr // of this host in the overlay
	LivenessPort uint16     // UDP
}

// Hop is a router on the link of a device.
type Hop struct {
	Device  string
	Address netip.Addr
}

// Transit configures how a gateway with siblings forwards packets between the
// lanes and other hosts of its datacenter. The two directions of a connection
// may use different gateways, each of which sees one half: connection tracking
// marks such packets as invalid, and kube-proxy drops them. The zero value is
// for a datacenter with one gateway, which tracks all connections.
type Transit struct {
	// Devices route to other hosts of this datacenter, sorted. Packets between
	// one of them and a lane are not tracked, except those to this host, its own
	// pods and Services.
	Devices []string
	// Services are the prefixes within Local whose addresses this host
	// translates (kube-proxy), sorted. Translated packets to other hosts get
	// this host's source address, so that the reply returns here.
	Services []netip.Prefix
}

// NodePortSNAT configures source NAT for connections of hosts and pods of this
// datacenter to a NodePort of this host whose endpoint is in another datacenter.
// The endpoint sees this host's address; otherwise its reply might bypass this
// host and reach the client untranslated. The zero value disables it.
type NodePortSNAT struct {
	Addresses []netip.Addr // own source addresses, at most one per family, sorted
	// ClusterIPs are the prefixes within Local that the client's own host
	// translates, sorted. Connections to them keep their source address.
	ClusterIPs []netip.Prefix
}

// Lane lists the sources that are accepted from one tunnel interface.
type Lane struct {
	Device  string
	Sources []netip.Prefix // sorted
}

// Observed is Meshway's part of the kernel's current routing state.
type Observed struct {
	Config
	Foreign []ForeignRoute // routes in Meshway's table that it did not create; never changed
	// ForeignNexthops have an id of Meshway's range, but another protocol. They
	// are never changed; a desired nexthop with such an id is an error.
	ForeignNexthops []ForeignNexthop
	// ForeignRules are the rules of other programs that decide where packets go, sorted
	// by family and priority.
	ForeignRules []ForeignRule
	// Tables has the routes of the tables of ForeignRules, by number: those that overlap a
	// route of Meshway, and those that drop packets or end the lookup.
	Tables map[int][]HostRoute
	// Policies are those of IPsec, as the kernel lists them.
	Policies []IPsecPolicy
	// Repaired counts the entries that another program deleted or changed and
	// that were restored since the agent started.
	Repaired uint64
}

// ForeignRoute is a route in Meshway's table that it did not create.
type ForeignRoute struct {
	Prefix   netip.Prefix
	Protocol int
	Device   string
	Blocks   bool // it has the metric of Meshway's routes, so that Meshway cannot create one to its prefix
	Precedes bool // it has a lower metric than Meshway's routes
	Via      netip.Addr
	Drop     string // as in HostRoute
	Throw    bool   // as in HostRoute
}

// Text returns the route as ip prints it.
func (f ForeignRoute) Text() string {
	return HostRoute{Prefix: f.Prefix, Device: f.Device, Via: f.Via, Drop: f.Drop, Throw: f.Throw}.Text()
}

// ForeignRouteTo returns the foreign route in Meshway's table that the kernel uses for an
// address; false: it uses one of Meshway, or none.
func (o Observed) ForeignRouteTo(a netip.Addr) (ForeignRoute, bool) {
	best, ok := ForeignRoute{}, false
	for _, f := range o.Foreign {
		longer := !ok || f.Prefix.Bits() > best.Prefix.Bits()
		if f.Prefix.Contains(a) && (longer || f.Prefix == best.Prefix && f.Precedes && !best.Precedes) {
			best, ok = f, true
		}
	}
	return best, ok && !slices.ContainsFunc(o.Routes, func(r Route) bool {
		return !r.ToNode && r.Prefix.Contains(a) && (r.Prefix.Bits() > best.Prefix.Bits() || r.Prefix == best.Prefix && !best.Precedes && r.Kind.Metric() == 0)
	})
}

// ForeignNexthop is a nexthop object in Meshway's range of ids that it did not create.
type ForeignNexthop struct {
	ID       uint32
	Protocol int
}
