package tunnel

import (
	"net/netip"
	"time"
)

// PublicKey is a WireGuard public key; it prints as base64.
type PublicKey [32]byte

// PrivateKey is a WireGuard private key; it prints as "(redacted)".
type PrivateKey [32]byte

// Config is one WireGuard interface as it should be. It is a value: slices
// are sorted, so that equal configurations compare equal.
type Config struct {
	Name       string         // of the interface: mesh0 for lane 0
	Lane       uint32         //
	ListenPort uint16         // UDP; base port + lane
	Mark       uint32         // SO_MARK of the encrypted packets, so that they escape our own routing rule
	MTU        int            // bytes
	Addresses  []netip.Prefix // overlay address of this gateway, full length
	Peers      []Peer         // sorted by public key
}

// Peer is one remote gateway on an interface.
type Peer struct {
	PublicKey  PublicKey
	Endpoint   netip.AddrPort // zero: not known, wait until the peer speaks
	AllowedIPs []netip.Prefix // sorted
	Keepalive  time.Duration  // 0: none; whole seconds, as WireGuard knows no others
}

// Observed is one WireGuard interface as the kernel (or the userspace data plane) reports it.
// Its Config.Peers is empty: the peers, with what was measured, are in Peers.
type Observed struct {
	Config
	PublicKey PublicKey // of the interface's own private key; zero: none is set
	Up        bool
	Index     int    // ifindex
	Dataplane string // "kernel" or "userspace"
	Peers     []ObservedPeer
	// Err says why the interface exists but could not be read, for instance
	// because the userspace data plane does not answer. Then only Name, Lane,
	// Index and Dataplane are known, and Apply leaves the interface alone:
	// changes computed from what was not read would disturb what works.
	Err error
}

// ObservedPeer is a peer with what the data plane measured.
type ObservedPeer struct {
	Peer
	LastHandshake    time.Time // zero: never
	ReceivedBytes    uint64
	TransmittedBytes uint64
}
