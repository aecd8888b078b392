package plan

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Inputs is everything that a plan depends on. Compute reads nothing else.
type Inputs struct {
	Self    catalog.GatewayID
	Config  config.Config
	Host    Host
	Catalog Catalog
	// Endpoints are the underlay endpoints that each other gateway advertises,
	// resolved, in its order of preference. Ports are as advertised: of lane 0.
	// Those under which others observe it come from Catalog.Observations.
	Endpoints map[catalog.GatewayID][]netip.AddrPort
	Observed  Observed
	Synced    Synced
	Drain     Drain
	Nodes     Nodes
	Now       time.Time
}

// Drain is how far this gateway is out of use.
type Drain int

// The steps of taking a gateway out of use.
const (
	Active   Drain = iota
	Draining       // others are told; what arrives is sent on
	Drained        // nothing arrives any more: its own pods use the siblings too
)

// Nodes are the nodes of the own datacenter that are on no link of this
// gateway, and reach it through a tunnel.
type Nodes struct {
	Peers   []NodePeer // by name
	Pending bool       // not all are known yet: nothing may be deleted for want of one
	// PodCIDRs are Node.spec.podCIDRs of this gateway itself.
	PodCIDRs []netip.Prefix
}

// NodePeer is a node at the other end of a tunnel.
type NodePeer struct {
	Name             string           `json:"name"`
	PublicKey        tunnel.PublicKey `json:"publicKey"`
	Port             uint16           `json:"port"` // UDP, of its lane 0
	Addresses        []netip.Addr     `json:"addresses,omitempty"`
	PodCIDRs         []netip.Prefix   `json:"podCIDRs,omitempty"` // as the cluster says
	ReportedPodCIDRs []netip.Prefix   `json:"claims,omitempty"`   // as the node itself says: where its pods are
}

// Host is what the agent sees of its own host.
type Host struct {
	Addresses   []netip.Addr // of all interfaces that are not ours
	UnderlayMTU int          // smallest MTU of the links towards the endpoints, bytes; 0: not known
	Links       []Link       // that are not ours, sorted by device
	// Underlay are the devices with an address that is in no pod or service
	// prefix of ours, sorted: other hosts are behind them.
	Underlay []string
	// Overlays are the devices by which a CNI plugin carries packets to other
	// hosts inside of others (vxlan, ipip, …), sorted.
	Overlays []string
	// Routes are those of the main table, in any order, where it matters which
	// pods are on this host.
	Routes []routes.HostRoute
}

// Link is what can be reached over one interface without a router.
type Link struct {
	Device   string
	Prefixes []netip.Prefix // sorted
}

// Site is what a datacenter owns, as it is known on this host now.
type Site struct {
	Known     bool             // false: not known yet; nothing may follow from Prefixes
	Prefixes  []catalog.Prefix // sorted by CIDR, distinct
	Addresses []netip.Addr     // of this host, as its cluster knows them, best to reach first; it may have more
	Problems  []Problem        // of finding them out
	Nodes     Nodes
}

// Catalog is the part of the replicated state that steers packets.
type Catalog struct {
	Federation   catalog.Federation
	Datacenters  []catalog.Datacenter
	Gateways     []catalog.Gateway
	Observations []catalog.Observation
	Index        uint64
}

// Observed is what the appliers and the liveness sessions reported; it is
// that of the previous pass.
type Observed struct {
	Tunnels  []tunnel.Observed
	Sessions []Session
}

// Session is the liveness of one remote gateway, as seen through its tunnel.
type Session struct {
	Gateway    catalog.GatewayID
	Up         bool
	Since      time.Time     // of the last change of Up
	LastPacket time.Time     // any authenticated packet of the peer; zero: none yet
	RTT        time.Duration // 0: not measured
	Loss       float64       // of the last probes, 0…1
	// Draining is set while the peer says that it is not to be sent to, though
	// the way to it works; then it is not Up.
	Draining bool
	// Undecided is set while a new session has had no chance yet to come up:
	// less than one detection time since it was started. It keeps a restarted
	// agent from withdrawing tunnels that work.
	Undecided bool
}

// Synced says which inputs are complete. Nothing is deleted before all are.
type Synced struct {
	Catalog bool // a snapshot of the catalog has been read at least once
	Host    bool
}
