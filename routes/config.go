package routes

import "net/netip"

// Everything that Meshway puts into the kernel carries one of these, so that
// what is ours can be told from what is not.
const (
	DefaultTable        = 7117       // own routing table
	DefaultRulePriority = 5400       // of the one rule that leads to the table
	DefaultMark         = 0x20       // packets with this bit escape the table
	DefaultProtocol     = 157        // rtm_protocol of our routes, rules and nexthops
	NexthopBase         = 0x4d570000 // our nexthop ids are NexthopBase … NexthopBase+0xffff
	FirewallTable       = "meshway"  // nft table, family inet
)

// NodesTable is the second table of ours, next to the configured one: the ways
// to hosts of the own datacenter that are reached through a tunnel. Only what
// came out of a lane goes by it.
func NodesTable(table int) int { return table + 1 }

// Config is the part of the kernel's routing state that is ours, as it should
// be. It is a value: slices are sorted, so that equal configurations compare equal.
type Config struct {
	Table    int
	Rules    []Rule
	Nexthops []Nexthop // sorted by ID
	Groups   []Group   // sorted by ID
	Routes   []Route   // sorted by prefix, those of NodesTable last
	Sysctls  []Sysctl  // sorted by key
}

// Family is an address family.
type Family int

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Rule is of one family, and of one of two kinds: "not fwmark Mark/Mark lookup
// Table", or, if In is set, "iif In lookup NodesTable".
type Rule struct {
	Family   Family
	Priority int
	Mark     uint32
	In       string // device that the packet came in by
}

// Nexthop is one leg: a device, a router on the link of a device, or a blackhole.
type Nexthop struct {
	ID     uint32
	Family Family
	Device string     // empty: blackhole
	Via    netip.Addr // router on the device's link, of the same family; zero: none
}

// Group is a set of legs over which flows are spread by hash. A group whose
// legs are all dead holds the blackhole leg, so that packets of pods never
// leave unencrypted by another route.
type Group struct {
	ID      uint32
	Family  Family
	Members []uint32 // nexthop ids, sorted; never empty
}

// Route leads a prefix to a nexthop or a group.
type Route struct {
	Prefix  netip.Prefix
	Nexthop uint32     // id of a Nexthop or Group
	Source  netip.Addr // preferred source of packets of this host; zero: the kernel chooses
	ToNode  bool       // is in NodesTable
}

// Sysctl is a kernel setting below /proc/sys that forwarding needs.
type Sysctl struct {
	Key   string // path below /proc/sys: net/ipv4/ip_forward
	Value string
}

// Firewall is the content of our nft table.
type Firewall struct {
	Lanes       []Lane         // sorted by device
	Local       []netip.Prefix // of this datacenter, sorted
	Remote      []netip.Prefix // of all others and the overlay, sorted; may overlap no Local
	TunnelPorts []uint16       // UDP ports of the lanes: exempt from anti-spoofing on the underlay
	ControlPort uint16         // TCP: likewise, for a peer whose node address is in Remote
	// PeerControlPorts are the TCP ports that peers listen on, as far as they
	// differ from ControlPort: their answers are exempt likewise.
	PeerControlPorts []uint16
	// TrustedDevices are devices over which gateways of this datacenter hand over
	// what came out of their tunnels, sorted: links, and the CNI's overlays.
	// There, remote sources are let through to Local.
	TrustedDevices []string
	// Transit is set on a gateway whose datacenter has several.
	Transit Transit
	// NodePortSNAT is set where answers from elsewhere may not pass this host.
	NodePortSNAT NodePortSNAT
}

// Transit is how a gateway treats what it passes on between the lanes and
// other hosts of its datacenter, when that has several gateways. The two
// directions of a connection may then pass different ones, of which each sees
// a half: connection tracking would call it invalid, and kube-proxy drops that.
// The zero value means one gateway: it sees everything and tracks everything.
type Transit struct {
	// Devices lead to other hosts of this datacenter, sorted. What comes by one
	// and leaves by a lane, or the reverse, is not tracked; what is for this
	// host, its own pods or Services is.
	Devices []string
	// Services are the part of Local that is translated by this host
	// (kube-proxy), sorted. What was translated here is sent to other hosts
	// with this host's address, so that the answer comes back here.
	Services []netip.Prefix
}

// NodePortSNAT are hosts and pods of this datacenter that ask this host for a Service
// (a NodePort) whose endpoint is elsewhere. The endpoint sees this host, else its
// answer would go to them by another way, untranslated. The zero value keeps their
// addresses.
type NodePortSNAT struct {
	Addresses []netip.Addr // as which they are seen: an own address for each family, sorted
	// ClusterIPs are the part of Local that clients have their own hosts translate
	// (cluster IPs), sorted. Their addresses are kept.
	ClusterIPs []netip.Prefix
}

// Lane is what may come out of one tunnel interface.
type Lane struct {
	Device  string
	Sources []netip.Prefix // sorted
}

// Observed is what of ours the kernel has now.
type Observed struct {
	Config
	Foreign []ForeignRoute // in our table, but not ours: shown, never touched
	// ForeignNexthops have an id of our range, but not our protocol. They are
	// never touched; a wanted nexthop of that id is an error.
	ForeignNexthops []ForeignNexthop
	// Repaired counts the entries that somebody else deleted or changed and
	// that were put back, since the agent started.
	Repaired uint64
}

// ForeignRoute is a route in our table that Meshway did not make.
type ForeignRoute struct {
	Prefix   netip.Prefix
	Protocol int
	Device   string
}

// ForeignNexthop is a nexthop object in our range of ids that Meshway did not make.
type ForeignNexthop struct {
	ID       uint32
	Protocol int
}
