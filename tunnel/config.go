package tunnel

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/tunnel/secret"
)

// PublicKey is a WireGuard public key. It prints as base64.
type PublicKey [32]byte

// PrivateKey is a WireGuard private key with its public key, which is computed
// once. It prints as "(redacted)".
type PrivateKey struct {
	secret.Value[[32]byte] // the scalar
	public                 PublicKey
}

// Config is the desired state of one WireGuard interface. Its slices are sorted,
// so that equal configurations compare equal.
type Config struct {
	Name       string         // of the interface: mesh0 for lane 0
	Lane       uint32         // index of the remote gateways that are its peers
	ListenPort uint16         // UDP; base port + lane
	Mark       uint32         // SO_MARK of the encrypted packets, which exempts them from Meshway's routing rule
	MTU        int            // bytes
	Addresses  []netip.Prefix // of this host on the interface, full length, sorted
	Peers      []Peer         // sorted by public key
}

// Peer is one remote gateway on an interface.
type Peer struct {
	PublicKey  PublicKey
	Endpoint   netip.AddrPort // desired zero: as it is; observed zero: unknown until the peer sends a packet
	AllowedIPs []netip.Prefix // sorted
	Keepalive  time.Duration  // whole seconds, the unit of WireGuard; 0: none
	// Renew is set to start a handshake at once: Apply replaces the peer by a new
	// one. Its session and counters end, and its prefixes have no peer for a moment.
	// It is never set in what is observed.
	Renew bool
	// RenewAt is the ReceivedBytes at which Renew was decided. A peer that has
	// received more by now is answering: it is not renewed and keeps its endpoint.
	RenewAt uint64
}

// Observed is one WireGuard interface as the kernel or the userspace data plane
// reports it. Its Config.Peers is empty; Peers has the peers with their counters.
type Observed struct {
	Config
	PublicKey PublicKey // of the interface's own private key; zero: none is set
	Up        bool
	Index     int    // ifindex
	Dataplane string // "kernel" or "userspace"
	Peers     []ObservedPeer
	// Err is why an existing interface could not be read, for instance because
	// the userspace data plane does not answer. Only Name, Lane, Index and
	// Dataplane are then set, and Apply does not change the interface: a change
	// computed from an unread state would break working sessions.
	Err error
}

// ObservedPeer is a peer with its counters.
type ObservedPeer struct {
	Peer
	LastHandshake    time.Time // zero: never
	ReceivedBytes    uint64
	TransmittedBytes uint64
}
