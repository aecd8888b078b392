package config

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Config is the validated configuration of meshd, with all defaults filled in.
type Config struct {
	Datacenter catalog.DatacenterName
	Gateway    string // name of this gateway; default: first label of the host name
	DataDir    string
	Witness    bool             // it only votes, and carries no traffic
	Prefixes   []catalog.Prefix // sorted by CIDR
	Kubernetes Kubernetes
	Control    Control
	WireGuard  WireGuard
	Routing    Routing
	Liveness   Liveness
	Raft       Raft
	Join       Join
	Services   []catalog.Service // static registrations; Owner and Datacenter are filled in by the agent
	Local                        // its keys are at the top level of the file, too
}

// Local configures what the agent offers on its host, to operators and programs.
type Local struct {
	Admin   Admin
	Metrics Metrics
	Catalog Catalog
	Log     Log
}

// GatewayID returns the id of this gateway.
func (c Config) GatewayID() catalog.GatewayID { return catalog.NewGatewayID(c.Datacenter, c.Gateway) }

// Kubernetes configures an agent on a node of a cluster, which discovers the
// prefixes and gateways of the cluster.
type Kubernetes struct {
	Enabled       bool
	NodeName      string         // of this host's Node
	Kubeconfig    string         // path; empty: the service account of the pod
	PodCIDRs      []netip.Prefix // sorted; empty: discovered
	ServiceCIDRs  []netip.Prefix // sorted; empty: discovered
	AnnounceNodes bool           // node addresses are prefixes of the datacenter too
	GatewayLabel  string         // key=value of the nodes that are gateways
	// IdentitySecret is the name of the Secret with the shared state of the
	// gateways, in the agent's namespace; empty: one gateway only.
	IdentitySecret string
}

// Control configures the TCP control port, on which gateways exchange RPC and
// Raft.
type Control struct {
	Listen    netip.AddrPort // address may be unspecified; default [::]:7443
	Advertise []string       // host:port; default: the host's underlay addresses with the listen port
}

// WireGuard configures the tunnels.
type WireGuard struct {
	Dataplane string        // "auto", "kernel" or "userspace"
	Interface string        // name prefix of the lanes; default "mesh"
	Port      uint16        // UDP port of lane 0
	Advertise []string      // host:port; default: the host's underlay addresses with Port
	MTU       int           // of the tunnels, bytes; 0: underlay minus 80
	Keepalive time.Duration // 0: none
}

// Routing holds the numbers that identify what Meshway configures in the kernel,
// and what decides between the prefixes of other datacenters and local ranges.
type Routing struct {
	Table        int
	RulePriority int
	Mark         uint32
	Confine      bool // packets from tunnels reach only what this datacenter announces
	// Accept are the ranges that this datacenter takes from another one, sorted.
	// Everything is taken from a datacenter that is not in it.
	Accept map[catalog.DatacenterName][]netip.Prefix
	// Yield are the local ranges that yield to the prefixes of other datacenters,
	// sorted. Resolvers and addresses of the API server yield if they are in it
	// themselves.
	Yield []netip.Prefix
}

// Liveness configures the BFD sessions inside the tunnels (RFC 5880).
type Liveness struct {
	Interval   time.Duration // between control packets
	Multiplier int           // missed packets after which a session is down
	Port       uint16        // UDP, in the tunnel
}

// Raft configures the replication of the catalog.
type Raft struct {
	Timers            string // "auto", "lan" or "wan"
	SnapshotThreshold uint64 // log entries between snapshots
	Store             string // of the log: "wal" or "bolt"
}

// Join configures joining without meshctl.
type Join struct {
	TokenFile string // empty: join with meshctl only
}

// Admin configures the unix socket for meshctl.
type Admin struct{ Socket string }

// Metrics configures the HTTP endpoint of /metrics, /healthz and /readyz.
type Metrics struct{ Listen netip.AddrPort } // zero port: off

// Catalog configures the port on which programs of this host use the catalog.
type Catalog struct {
	Listen netip.AddrPort // of a loopback interface; zero port: off
	Tokens string         // path of the file with the tokens of the programs
}

// Log configures logging.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "text" or "json"
}
