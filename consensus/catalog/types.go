package catalog

import (
	"net/netip"
	"strings"
	"time"
)

// DatacenterName is the name of a datacenter: a DNS label (RFC 1123), unique in the
// federation.
type DatacenterName string

// GatewayID identifies a gateway in the federation: "<datacenter>/<gateway name>".
// It is also the gateway's raft server ID.
type GatewayID string

// Key is a WireGuard public key.
type Key [32]byte

// PrefixKind is the kind of objects that the addresses of a prefix belong to.
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

// Federation is the set of datacenters that share the catalog.
type Federation struct {
	ID          string // UUID
	Name        string // DNS label
	Overlay     netip.Prefix
	CreatedAt   time.Time
	NextOrdinal uint32 // ordinal of the next datacenter
}

// MaxOrdinal is the highest ordinal of a datacenter that gateways can route to.
const MaxOrdinal = 24447

// Settings are what the members of a federation agreed on. There are none before the
// first command of feature level 3.
type Settings struct {
	FeatureLevel  uint32 // that the commands so far need
	Allowed       []AllowedPrefix
	Limits        []Limit          // sorted by resource and SetBy
	Budgets       []Budget         // sorted by datacenter and kind
	Removals      []RemovalRequest // sorted by datacenter; one of each
	ModifiedIndex uint64
}

// RemovalRequest is the first of two requests to remove a datacenter that is alive: see
// package budget.
type RemovalRequest struct {
	Datacenter DatacenterName
	By         DatacenterName
	At         time.Time
}

// Limit is how much of a resource the datacenters other than SetBy may have: see package
// quota.
type Limit struct {
	Resource string
	Most     uint64
	SetBy    DatacenterName
}

// Budget is what a datacenter has used up of a kind of requests: see package budget.
type Budget struct {
	Datacenter DatacenterName
	Kind       string
	Until      time.Time // when all requests that were made are paid for
}

// AllowedPrefix is a range outside the private ones in which datacenters may announce
// prefixes.
type AllowedPrefix struct {
	CIDR      netip.Prefix
	AllowedBy DatacenterName // which may not announce them itself
}

// Datacenter is one member of the federation.
type Datacenter struct {
	Name          DatacenterName
	Ordinal       uint32 // assigned by the catalog, unique
	CACertificate []byte // DER
	Prefixes      []Prefix
	JoinedAt      time.Time
	ModifiedIndex uint64    // raft index of the last change
	Signature     Signature // by a gateway of the datacenter
	Successions   []Succession
}

// Succession is the replacement of a CA of a datacenter. The CA that follows is the
// predecessor of the next succession, or that of the datacenter.
type Succession struct {
	Predecessor []byte // DER
	Certificate []byte // DER: the key of the CA that follows, signed by the predecessor
	Retired     bool   // the predecessor is no longer trusted; false only in the last succession
}

// Signature proves that a gateway of the datacenter wrote a record. The catalog
// stores it without a check: package agent/trust creates and verifies it. Its zero
// value means that the record is not signed.
type Signature struct {
	Version     uint64 // of the record, rises with each change
	Level       uint32 // which fields are signed
	Certificate []byte // DER, of the gateway that signed
	Value       []byte
}

// Gateway is a host of a datacenter that runs tunnels and takes part in the catalog.
type Gateway struct {
	Datacenter    DatacenterName
	Name          string // DNS label, unique in its datacenter
	Index         uint32 // assigned by the catalog; other gateways have this gateway in the lane of this index
	PublicKey     Key
	Overlay       netip.Addr // assigned by the catalog, never changes
	Endpoints     []string   // host:port, in order of preference; the port is that of lane 0
	Controls      []string   // control addresses, host:port
	Version       string     // of meshd
	Draining      bool       // other gateways of its datacenter should be used instead
	FeatureLevel  uint32     // of meshd; see Level
	Witness       bool       // it only votes, and its datacenter has no prefixes; see LevelWitness
	ModifiedIndex uint64
	Signature     Signature // by the gateway itself
}

// ID returns the ID of g.
func (g Gateway) ID() GatewayID { return NewGatewayID(g.Datacenter, g.Name) }

// NewGatewayID returns the ID of a gateway of dc.
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

// Token allows one datacenter to join the federation once.
type Token struct {
	ID         string
	SecretHash [32]byte       // SHA-256
	Datacenter DatacenterName // that may use it; any if empty
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

// Service is an instance of a service, as meshctl service register registers it. It
// is deleted with its owner.
type Service struct {
	ServiceKey
	Owner         GatewayID // keeps the registration up to date
	Address       netip.Addr
	Ports         []Port
	Labels        map[string]string
	ModifiedIndex uint64
}

// Observation is the underlay endpoint at which one gateway sees another.
type Observation struct {
	Observer      GatewayID
	Peer          GatewayID
	Endpoint      netip.AddrPort
	At            time.Time
	ModifiedIndex uint64
}

// ExportType is how clients reach the imported service.
type ExportType string

// The types of exports.
const (
	ClusterSetIP ExportType = "ClusterSetIP" // by an address that each importer allocates
	Headless     ExportType = "Headless"     // by the addresses of the endpoints
)

// SessionAffinity is whether all connections of a client go to one endpoint.
type SessionAffinity string

// The session affinities.
const (
	NoSessionAffinity SessionAffinity = "None"
	ClientIPAffinity  SessionAffinity = "ClientIP"
)

// Affinity is the set of endpoints that an importer prefers while one of them is
// ready.
type Affinity string

// The affinities.
const (
	AffinityNone   Affinity = "none"   // no preference
	AffinityLocal  Affinity = "local"  // endpoints in the importing datacenter
	AffinityRemote Affinity = "remote" // endpoints in other datacenters
)

// IPFamily is an IP address family.
type IPFamily string

// The IP families.
const (
	IPv4 IPFamily = "IPv4"
	IPv6 IPFamily = "IPv6"
)

// ExportPort is a port of an export or of endpoints.
type ExportPort struct {
	Name        string // DNS label; may be empty if it is the only port
	Protocol    string // "tcp", "udp" or "sctp"
	Number      uint16
	AppProtocol string
}

// ExportKey identifies an export of one datacenter.
type ExportKey struct {
	Datacenter DatacenterName
	Namespace  string
	Name       string
}

// ServiceName is the namespace and name of an export, common to all datacenters.
type ServiceName struct {
	Namespace string
	Name      string
}

// Export is a service that one datacenter exports to all members (KEP-1645).
type Export struct {
	ExportKey
	Type                   ExportType
	Ports                  []ExportPort
	SessionAffinity        SessionAffinity
	SessionAffinitySeconds uint32 // 0 if not set
	IPFamilies             []IPFamily
	InternalTrafficPolicy  string            // empty, "Cluster" or "Local"
	TrafficDistribution    string            // as in Kubernetes; empty if not set
	Labels                 map[string]string // copied to the ServiceImport
	Annotations            map[string]string
	Affinity               Affinity
	Mirror                 bool      // the other members create a Service <name>-<datacenter> for it
	CreatedAt              time.Time // of the ServiceExport
	ModifiedIndex          uint64
}

// Endpoint is one backend of an export.
type Endpoint struct {
	Address  netip.Addr
	Ready    bool
	Hostname string // DNS label or empty
	Zone     string
	// Terminating is set for an endpoint that is not ready because it ends, and
	// still serves (KEP-1669).
	Terminating bool
}

// EndpointSliceKey identifies an endpoint slice.
type EndpointSliceKey struct {
	ExportKey
	Slice string
}

// EndpointSlice is a part of the endpoints of an export, all of one IP family.
type EndpointSlice struct {
	EndpointSliceKey
	Endpoints     []Endpoint
	Ports         []ExportPort // with the port numbers of the endpoints
	ModifiedIndex uint64
}
