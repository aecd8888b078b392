package status

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/plan"
)

// Snapshot is the state of Meshway on this host at one moment. Metrics, health,
// meshctl status and -o json are views of it. The JSON is stable: fields are
// only added.
type Snapshot struct {
	At           time.Time      `json:"at"`
	Version      string         `json:"version"`
	State        State          `json:"state"`
	Self         Self           `json:"self"`
	Federation   *Federation    `json:"federation,omitempty"`
	Catalog      Catalog        `json:"catalog"`
	Datacenters  []Datacenter   `json:"datacenters"`
	Paths        []Path         `json:"ways,omitempty"` // of a node that is no gateway
	Tunnels      []Tunnel       `json:"tunnels"`
	Dataplane    Dataplane      `json:"dataplane"`
	Queue        Queue          `json:"queue"`
	MultiCluster *MultiCluster  `json:"multiCluster,omitempty"` // of a gateway in a cluster
	Problems     []plan.Problem `json:"problems"`
}

// State is the membership state of this host.
type State string

// The states.
const (
	Standalone State = "standalone" // in no federation
	Joining    State = "joining"
	Member     State = "member"
	Leaving    State = "leaving"
	// Node is the state of a host that is no gateway: it only routes to the
	// gateways of its datacenter.
	Node State = "node"
)

// Path is how a node that is no gateway reaches a gateway of its datacenter.
type Path struct {
	Gateway string        `json:"gateway"` // id
	Device  string        `json:"device"`
	Tunnel  bool          `json:"tunnel"`  // false: the gateway is on the device's link
	Answers bool          `json:"answers"` // to probes; false too if the network drops ICMP echoes
	RTT     time.Duration `json:"rttNs,omitempty"`
}

// Self is this gateway.
type Self struct {
	Datacenter  string       `json:"datacenter"`
	Gateway     string       `json:"gateway"`
	ID          string       `json:"id"`
	Overlay     string       `json:"overlayAddress,omitempty"`
	PublicKey   string       `json:"publicKey,omitempty"`
	StartedAt   time.Time    `json:"startedAt"`
	Certificate *Certificate `json:"certificate,omitempty"`
	Draining    bool         `json:"draining,omitempty"` // by meshctl drain
	Witness     bool         `json:"witness,omitempty"`  // by its configuration
}

// Certificate is this gateway's certificate.
type Certificate struct {
	NotAfter time.Time `json:"notAfter"`
}

// Federation names the federation that this gateway is in.
type Federation struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Overlay string `json:"overlay"`
	// FeatureLevel is what all gateways support. If some support more, HeldBack names
	// those that do not.
	FeatureLevel uint32    `json:"featureLevel"`
	HeldBack     *HeldBack `json:"heldBack,omitempty"`
}

// HeldBack is a feature level that the federation does not have yet.
type HeldBack struct {
	FeatureLevel uint32   `json:"featureLevel"`
	Gateways     []string `json:"gateways"` // ids, that run an earlier build
}

// Catalog is the state of consensus from the view of this gateway.
type Catalog struct {
	Synced        bool          `json:"synced"` // read at least once since the start
	Role          string        `json:"role"`   // leader, follower, candidate, or empty
	Leader        string        `json:"leader"`
	Term          uint64        `json:"term"`
	AppliedIndex  uint64        `json:"appliedIndex"`
	CommitIndex   uint64        `json:"commitIndex"`
	LastContact   time.Duration `json:"lastContactNs"` // since the last message of the leader; 0 on the leader
	Voters        int           `json:"voters"`
	HealthyVoters int           `json:"healthyVoters"` // from the view of this gateway; most accurate on the leader
	Timers        string        `json:"timers"`
	// Refused are the commands that this gateway refused as leader, since its start.
	Refused []RefusedCommands `json:"refusedCommands,omitempty"`
}

// RefusedCommands counts the commands of one gateway that were refused for one reason.
type RefusedCommands struct {
	Author string `json:"author"`
	Code   string `json:"code"`
	Count  uint64 `json:"count"`
}

// Datacenter is one member from the view of this gateway.
type Datacenter struct {
	Name      string    `json:"name"`
	Self      bool      `json:"self"`
	Ordinal   uint32    `json:"ordinal"` // assigned by the catalog, never changes
	Prefixes  []Prefix  `json:"prefixes"`
	Gateways  []Gateway `json:"gateways"`
	Reachable bool      `json:"reachable"`
	Witness   bool      `json:"witness,omitempty"` // it only votes, and has no prefixes
	JoinedAt  time.Time `json:"joinedAt"`
	Services  int       `json:"services"`
}

// Prefix is one range that a datacenter owns.
type Prefix struct {
	CIDR netip.Prefix `json:"cidr"`
	Kind string       `json:"kind"`
}

// Gateway is one gateway from the view of this gateway.
type Gateway struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Index    uint32 `json:"index"`
	Overlay  string `json:"overlayAddress"`
	Version  string `json:"version"`
	Up       bool   `json:"up"`
	Draining bool   `json:"draining,omitempty"` // takes no new traffic; in another datacenter Up is then false although the tunnel works
	TunnelState
	Endpoints     []string `json:"endpoints"` // advertised
	Controls      []string `json:"controls"`
	Role          string   `json:"role"` // voter, nonvoter, or empty
	Leader        bool     `json:"leader"`
	ReceivedBytes uint64   `json:"receivedBytes"`
	SentBytes     uint64   `json:"sentBytes"`
}

// TunnelState is what is observed of the tunnel to a gateway; zero: there is none.
type TunnelState struct {
	Since         time.Time     `json:"since,omitzero"` // since when it is up or down
	LastPacket    time.Time     `json:"lastPacket,omitzero"`
	LastHandshake time.Time     `json:"lastHandshake,omitzero"`
	RTT           time.Duration `json:"rttNs,omitempty"`
	Loss          float64       `json:"loss"`
	PathMTU       int           `json:"pathMTU,omitempty"`  // found in it, bytes; unset: not known
	Endpoint      string        `json:"endpoint,omitempty"` // in use now
}

// Tunnel is one WireGuard interface.
type Tunnel struct {
	Name      string `json:"name"`
	Lane      uint32 `json:"lane"`
	Dataplane string `json:"dataplane"` // kernel or userspace
	Port      uint16 `json:"port"`
	MTU       int    `json:"mtu"`
	Up        bool   `json:"up"`
	Peers     int    `json:"peers"`
}

// Dataplane summarizes the state of the data plane.
type Dataplane struct {
	Routes        int    `json:"routes"`
	ForeignRoutes int    `json:"foreignRoutes"`
	Repaired      uint64 `json:"repaired"`
	// Dropped are the packets that the firewall has dropped, by reason.
	Dropped   map[string]uint64 `json:"dropped,omitempty"`
	LastApply time.Time         `json:"lastApply,omitzero"`
	Errors    []string          `json:"errors,omitempty"` // of the last pass
}

// Queue describes the writes that are queued for the catalog.
type Queue struct {
	Pending int       `json:"pending"`
	Since   time.Time `json:"since,omitzero"`
}

// MultiCluster describes the multi-cluster services of the cluster.
type MultiCluster struct {
	Writer         bool   `json:"writer"` // this gateway holds the Lease and writes them
	Exports        int    `json:"exports"`
	Imports        int    `json:"imports"`
	EndpointSlices int    `json:"endpointSlices"` // of imports
	WriteErrors    uint64 `json:"writeErrors"`    // since the start of the agent
}

// RoutesReport explains the kernel's routes: which exist, which program added
// them, and which tunnels they use.
type RoutesReport struct {
	Datacenter  string       `json:"datacenter"`
	Table       int          `json:"table"`
	Rules       []Rule       `json:"rules"`
	Routes      []Route      `json:"routes"`
	Destination *Destination `json:"destination,omitempty"` // only if the report is for one address
}

// Rule is a policy rule that selects our table.
type Rule struct {
	Family   int    `json:"family"`
	Priority int    `json:"priority"`
	Selector string `json:"selector"` // "not fwmark 0x20/0x20"
	State    string `json:"state"`    // installed, missing, stale
}

// Route is one route of our table.
type Route struct {
	Prefix     netip.Prefix `json:"prefix"`
	Kind       string       `json:"kind"`       // pod, service, node, overlay; empty: foreign
	Datacenter string       `json:"datacenter"` // that owns the prefix
	Protocol   int          `json:"protocol"`
	Nexthop    uint32       `json:"nexthop,omitempty"`
	Via        []Via        `json:"via"`   // empty: blackhole
	State      string       `json:"state"` // installed, missing, foreign, stale, blackhole
	Source     string       `json:"source,omitempty"`
}

// Via is one device over which a route's flows are spread.
type Via struct {
	Gateway string `json:"gateway"`
	Device  string `json:"device"`
	Up      bool   `json:"up"`
}

// Destination is the kernel's route lookup for one address.
type Destination struct {
	Address netip.Addr   `json:"address"`
	Table   int          `json:"table"`
	Prefix  netip.Prefix `json:"prefix"`
	Device  string       `json:"device"`
	Source  string       `json:"source"`
	Verdict string       `json:"verdict"` // one sentence that explains the lookup
}
