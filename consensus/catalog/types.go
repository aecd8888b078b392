package catalog

import (
	"net/netip"
	"strings"
	"time"
)

// DatacenterName names a member of the federation; a DNS label (RFC 1123).
type DatacenterName string

// GatewayID names a gateway in the whole federation: "<datacenter>/<gateway name>".
// It is also the gateway's raft server id.
type GatewayID string

// Key is a WireGuard public key.
type Key [32]byte

// PrefixKind says what the addresses of a prefix belong to.
type PrefixKind string

// The kinds of prefixes that a datacenter owns.
const (
	PodPrefix     PrefixKind = "pod"
	ServicePrefix PrefixKind = "service"
	NodePrefix    PrefixKind = "node"
)

// Prefix is a range of addresses that one datacenter owns.
type Prefix struct {
	CIDR netip.Prefix // canonical: no host bits set
	Kind PrefixKind
}

// Federation is all that shares one catalog.
type Federation struct {
	ID          string // UUID
	Name        string // DNS label
	Overlay     netip.Prefix
	CreatedAt   time.Time
	NextOrdinal uint32 // what the next datacenter gets
}

// Datacenter is one member of the federation.
type Datacenter struct {
	Name          DatacenterName
	Ordinal       uint32 // given by the catalog, never reused
	CACertificate []byte // DER
	Prefixes      []Prefix
	JoinedAt      time.Time
	ModifiedIndex uint64 // raft index of the last change
}

// Gateway is a host of a datacenter that runs tunnels and is a member of the catalog.
type Gateway struct {
	Datacenter    DatacenterName
	Name          string // DNS label, unique in its datacenter
	Index         uint32 // given by the catalog; the lane in which others hold this gateway
	PublicKey     Key
	Overlay       netip.Addr // given by the catalog, never changes
	Endpoints     []string   // host:port, in order of preference; the port is that of lane 0
	Controls      []string   // control port, host:port
	Version       string     // of meshd
	Draining      bool       // others of its datacenter are to be used instead
	ModifiedIndex uint64
}

// ID returns the gateway's name in the whole federation.
func (g Gateway) ID() GatewayID { return NewGatewayID(g.Datacenter, g.Name) }

// NewGatewayID joins the name of a datacenter and that of one of its gateways.
func NewGatewayID(dc DatacenterName, gateway string) GatewayID {
	return GatewayID(string(dc) + "/" + gateway)
}

// Datacenter returns the part of id before the first slash.
func (id GatewayID) Datacenter() DatacenterName {
	dc, _, _ := strings.Cut(string(id), "/")
	return DatacenterName(dc)
}

// Name returns the part of id after the first slash, which is the gateway's name
// in its datacenter. It is empty if id has no slash.
func (id GatewayID) Name() string {
	_, name, _ := strings.Cut(string(id), "/")
	return name
}

// Token lets one datacenter join.
type Token struct {
	ID         string
	SecretHash [32]byte       // SHA-256
	Datacenter DatacenterName // empty: any name
	CreatedBy  GatewayID
	CreatedAt  time.Time
	ExpiresAt  time.Time
	UsedBy     DatacenterName
	UsedAt     time.Time
	Revoked    bool
}

// Port is one port of a service.
type Port struct {
	Name     string
	Protocol string // "tcp" or "udp"
	Number   uint16
}

// ServiceKey identifies one instance of a service.
type ServiceKey struct {
	Datacenter DatacenterName
	Namespace  string
	Name       string
	Instance   string
}

// Service is one registered instance of a service.
type Service struct {
	ServiceKey
	Owner         GatewayID // keeps the registration true
	Address       netip.Addr
	Ports         []Port
	Labels        map[string]string
	ModifiedIndex uint64
}

// Observation is the underlay endpoint under which one gateway sees another.
type Observation struct {
	Observer      GatewayID
	Peer          GatewayID
	Endpoint      netip.AddrPort
	At            time.Time
	ModifiedIndex uint64
}

// ExportType says how the imported service is reached.
type ExportType string

// The types of exports.
const (
	ClusterSetIP ExportType = "ClusterSetIP" // by an address that each importer gives it
	Headless     ExportType = "Headless"     // by the addresses of the endpoints
)

// SessionAffinity says whether the connections of a client go to one endpoint.
type SessionAffinity string

// The session affinities.
const (
	NoSessionAffinity SessionAffinity = "None"
	ClientIPAffinity  SessionAffinity = "ClientIP"
)

// Affinity says which endpoints an importer prefers while any of them is ready.
type Affinity string

// The affinities.
const (
	AffinityNone   Affinity = "none"   // all are alike
	AffinityLocal  Affinity = "local"  // those of the importing datacenter
	AffinityRemote Affinity = "remote" // those of the others
)

// IPFamily is a version of IP.
type IPFamily string

// The families.
const (
	IPv4 IPFamily = "IPv4"
	IPv6 IPFamily = "IPv6"
)

// ExportPort is a port of an export, or of endpoints.
type ExportPort struct {
	Name        string // DNS label; empty if it is the only one
	Protocol    string // "tcp", "udp" or "sctp"
	Number      uint16
	AppProtocol string
}

// ExportKey identifies one datacenter's export.
type ExportKey struct {
	Datacenter DatacenterName
	Namespace  string
	Name       string
}

// Export is a service that one datacenter offers to all members (KEP-1645).
type Export struct {
	ExportKey
	Type                   ExportType
	Ports                  []ExportPort
	SessionAffinity        SessionAffinity
	SessionAffinitySeconds uint32 // 0: not set
	IPFamilies             []IPFamily
	InternalTrafficPolicy  string            // empty, "Cluster" or "Local"
	TrafficDistribution    string            // as in Kubernetes; empty: not set
	Labels                 map[string]string // that go to the ServiceImport
	Annotations            map[string]string
	Affinity               Affinity
	Mirror                 bool      // the other members make a Service <name>-<datacenter> for it
	CreatedAt              time.Time // of the ServiceExport
	ModifiedIndex          uint64
}

// Endpoint is one backend of an export.
type Endpoint struct {
	Address  netip.Addr
	Ready    bool
	Hostname string // DNS label or empty
	Zone     string
}

// EndpointSliceKey identifies one slice.
type EndpointSliceKey struct {
	ExportKey
	Slice string
}

// EndpointSlice is a part of the endpoints of an export, all of one address family.
type EndpointSlice struct {
	EndpointSliceKey
	Endpoints     []Endpoint
	Ports         []ExportPort // with the numbers of the endpoints
	ModifiedIndex uint64
}
