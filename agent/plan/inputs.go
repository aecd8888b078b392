package plan

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Inputs is everything that the plan of a gateway depends on.
type Inputs struct {
	Self    catalog.GatewayID
	Config  config.Config
	Host    Host
	Catalog Catalog
	// Endpoints are the underlay endpoints that each other gateway advertises,
	// resolved, in its order of preference. Ports are as advertised: of lane 0.
	// The endpoints at which gateways see each other are in
	// Catalog.Observations.
	Endpoints map[catalog.GatewayID][]netip.AddrPort
	Observed  Observed
	Synced    Synced
	Drain     Drain
	Site      Site
	Withdrawn []Withdrawn
	PublicKey tunnel.PublicKey // of this gateway
	Version   string           // of meshd
	Now       time.Time
	Before    time.Time // Now of the pass before; zero: there was none
}

// Drain is the drain state of this gateway.
type Drain int

// The drain states, in the order in which a drain passes through them.
const (
	Active   Drain = iota
	Draining       // peers are notified; this gateway still forwards what arrives
	Drained        // no traffic arrives; local pods use the siblings too
)

// Nodes are the nodes of the own datacenter that share no link with this
// gateway and are connected by a tunnel.
type Nodes struct {
	Peers   []NodePeer // by name
	Pending bool       // the list is incomplete; nothing may be deleted because a node is missing from it
	// PodCIDRs are Node.spec.podCIDRs of this gateway's own node.
	PodCIDRs []netip.Prefix
}

// NodePeer is a node at the other end of a tunnel.
type NodePeer struct {
	Name             string           `json:"name"`
	PublicKey        tunnel.PublicKey `json:"publicKey"`
	Port             uint16           `json:"port"` // UDP, of its lane 0
	Addresses        []netip.Addr     `json:"addresses,omitempty"`
	Contested        []netip.Addr     `json:"contested,omitempty"` // those of Addresses that another node has too
	PodCIDRs         []netip.Prefix   `json:"podCIDRs,omitempty"`  // Node.spec.podCIDRs
	ReportedPodCIDRs []netip.Prefix   `json:"claims,omitempty"`    // as the node reports them; not trusted
}

// Host is what the agent observes of its own host.
type Host struct {
	Addresses   []netip.Addr         // of all interfaces that are not ours
	Places      map[netip.Addr]Place // of Addresses; one that is missing is on a physical device
	UnderlayMTU int                  // smallest MTU of the links towards the endpoints, bytes; 0: not known
	Links       []Link               // that are not ours, sorted by device
	// Underlay are the devices with an address outside the pod and service
	// prefixes of this datacenter, and those without an address whose routes have
	// routers, sorted. Other hosts are reached through them.
	Underlay []string
	// Overlays are the devices by which a CNI plugin encapsulates packets to
	// other hosts (vxlan, ipip, …), sorted.
	Overlays []string
	// Foreign are the devices that are not ours although they have names of our
	// interfaces, sorted.
	Foreign []string
	// Strict are the devices, of those above, whose reverse-path filter is strict,
	// sorted.
	Strict []string
	// NotForwarding are the devices from which no IPv4 packets are forwarded although this
	// host forwards those of others, sorted.
	NotForwarding []string
	// Routes are the routes of the main table, in any order.
	Routes []routes.HostRoute
	// PolicyRoutes are routes of other tables, to which the rules of other programs point.
	PolicyRoutes []routes.HostRoute
	// Earlier are those of PolicyRoutes that were there before another datacenter
	// announced their range. They stay local as those of Routes do.
	Earlier []routes.HostRoute
	// Advertised are the devices on which the kernel processes router advertisements
	// (accept_ra) and has to while this host forwards, sorted.
	Advertised []string
	IPv6       IPv6
	Needed     []Need // addresses without which the host does not work, sorted
}

// IPv6 is where a host has IPv6.
type IPv6 int

// The values of IPv6.
const (
	IPv6Everywhere IPv6 = iota
	IPv6InLanes         // it is switched off for all devices, and lanes switch it on for themselves
	IPv6Missing         // the kernel has none
)

// Need is an address of another host that this host must reach without Meshway.
type Need struct {
	Address netip.Addr
	Use     string // for messages: "a resolver of the host"
	// Movable is set if the tunnels work without it, so that routing.yield may name it.
	Movable bool
}

// Link is what can be reached over one interface without a router.
type Link struct {
	Device   string
	Prefixes []netip.Prefix // sorted
	Ports    []string       // of a bridge: the interfaces of which it consists, sorted
}

// Site describes the own datacenter, from the configuration or from its cluster.
type Site struct {
	Known     bool             // false: not known yet; Prefixes must not be used
	Prefixes  []catalog.Prefix // sorted by CIDR, distinct
	Addresses []netip.Addr     // of this host as in its cluster, best to reach first; the host may have more
	Problems  []Problem        // found while reading the prefixes and addresses
	Nodes     Nodes
}

// Catalog is the part of the replicated state that affects routing.
type Catalog struct {
	Federation   catalog.Federation
	Settings     catalog.Settings
	Datacenters  []catalog.Datacenter
	Gateways     []catalog.Gateway
	Observations []catalog.Observation
	Index        uint64
}

// GuardTime is how long a prefix stays guarded that is no longer announced: programs
// still send to it, and the default route leads out of the host. It must end, because the
// addresses may be used elsewhere later.
const GuardTime = 10 * time.Minute

// Withdrawn is a prefix that another datacenter announced until lately: it left, or it
// announces others.
type Withdrawn struct {
	Datacenter catalog.DatacenterName
	Prefix     catalog.Prefix
	At         time.Time // when it was missed
}

// Left is what a host guards whose datacenter has left a federation, until an operator
// ends it.
type Left struct {
	Federation   string // its name
	At           time.Time
	Prefixes     []Withdrawn // of the other datacenters
	ControlPorts []uint16    // of their gateways, other than the own one, sorted
}

// ReleaseRemedy ends the guard of a datacenter that has left.
const ReleaseRemedy = "run meshctl leave --release if packets to these prefixes may take the other routes of the hosts, without encryption; a new init or join ends it, too"

// Observed is what the appliers and the liveness sessions reported after the
// previous pass.
type Observed struct {
	Tunnels  []tunnel.Observed
	Sessions []Session
	// PathMTUs are the sizes of the largest packets that reach each remote gateway
	// through its tunnel and return, bytes, as far as they are known.
	PathMTUs map[catalog.GatewayID]int
	Arrivals map[tunnel.PublicKey]Arrival // of the peers from which a packet has arrived
}

// Arrival is when authentic packets of a peer arrived, handshakes included, as the
// counter of its tunnel shows. A handshake counts before it is complete.
type Arrival struct {
	Received uint64    // bytes, since the peer was added or renewed
	First    time.Time // since then, and since the last pause of ArrivalPause
	Last     time.Time
}

// ArrivalPause is the time without a packet after which an Arrival begins again: as long
// as WireGuard waits before it repeats a handshake (REKEY_TIMEOUT, WireGuard paper, §6.4).
const ArrivalPause = 5 * time.Second

// Session is the liveness of one remote gateway, measured through its tunnel.
type Session struct {
	Gateway    catalog.GatewayID
	Up         bool
	Since      time.Time     // of the last change of Up
	LastPacket time.Time     // any authenticated packet of the peer; zero: none yet
	RTT        time.Duration // 0: not measured
	Loss       float64       // of the last probes, 0…1
	// Draining is set while the peer announces that it takes no new traffic
	// although the path to it works. Up is false then.
	Draining bool
	// PortOwner is the process that has the port of liveness, so that the session
	// cannot come up; empty: none has.
	PortOwner string
	// Undecided is set until a new session has had the time to come up: for one
	// detection time after its start. It keeps a restarted agent from
	// withdrawing tunnels that work.
	Undecided bool
	// PeerCopied is set while two hosts run the gateway with the same key, and
	// SelfCopied while another host runs this one.
	PeerCopied, SelfCopied bool
}

// Synced records which inputs are complete. Nothing is deleted before all are.
type Synced struct {
	Catalog bool // a snapshot of the catalog has been read at least once
	Host    bool
}
