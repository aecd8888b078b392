package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/meshway/meshway/tunnel/secret"
)

// Change is the difference between an observed interface and the desired one.
// A Device applies it in the order of the fields, Up last, so that a half
// configured interface never carries packets.
type Change struct {
	Name       string
	PrivateKey *PrivateKey // nil: unchanged
	ListenPort *uint16     // nil: unchanged
	Mark       *uint32     // nil: unchanged
	MTU        int         // bytes; 0: unchanged

	Peers       []PeerChange // additions and updates, sorted by key; applied before RemovePeers
	RemovePeers []PublicKey  // sorted

	AddAddresses    []netip.Prefix // applied before RemoveAddresses
	RemoveAddresses []netip.Prefix
	Up              bool // bring the interface up; false: unchanged
}

// PeerChange is the difference of one peer.
type PeerChange struct {
	PublicKey PublicKey
	Add       bool           // the peer is new
	Renew     bool           // the peer exists, and is removed first; all its fields follow, as if it were new
	Endpoint  netip.AddrPort // zero: unchanged
	Keepalive *time.Duration // nil: unchanged
	// AddAllowedIPs are added to this peer. Another peer of the interface that
	// has one of them loses it at the same instant.
	AddAllowedIPs []netip.Prefix
	// RemoveAllowedIPs are removed from this peer and added to no other. A
	// Device must not clear and refill the list, because that interrupts the
	// peer's other prefixes.
	RemoveAllowedIPs []netip.Prefix
}

// Empty reports whether the change contains no difference.
func (c Change) Empty() bool {
	return c.PrivateKey == nil && c.ListenPort == nil && c.Mark == nil && c.MTU == 0 &&
		len(c.Peers) == 0 && len(c.RemovePeers) == 0 &&
		len(c.AddAddresses) == 0 && len(c.RemoveAddresses) == 0 && !c.Up
}

// String returns the differences on one line, for logs. It contains no secret.
func (c Change) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.PrivateKey != nil {
		add("private-key %s", secret.Text)
	}
	if c.ListenPort != nil {
		add("listen-port %d", *c.ListenPort)
	}
	if c.Mark != nil {
		add("fwmark 0x%x", *c.Mark)
	}
	if c.MTU != 0 {
		add("mtu %d", c.MTU)
	}
	for _, p := range c.Peers {
		add("%s", p)
	}
	for _, k := range c.RemovePeers {
		add("-peer %s", k)
	}
	for _, a := range c.AddAddresses {
		add("+address %s", a)
	}
	for _, a := range c.RemoveAddresses {
		add("-address %s", a)
	}
	if c.Up {
		add("up")
	}
	if len(parts) == 0 {
		add("nothing")
	}
	return c.Name + ": " + strings.Join(parts, ", ")
}

// String returns the differences of the peer on one line.
func (p PeerChange) String() string {
	var b strings.Builder
	sign := "~"
	if p.Add {
		sign = "+"
	}
	if p.Renew {
		sign = "-+"
	}
	fmt.Fprintf(&b, "%speer %s", sign, p.PublicKey)
	if p.Endpoint.IsValid() {
		fmt.Fprintf(&b, " endpoint %s", p.Endpoint)
	}
	if p.Keepalive != nil {
		fmt.Fprintf(&b, " keepalive %s", *p.Keepalive)
	}
	for _, ip := range p.AddAllowedIPs {
		fmt.Fprintf(&b, " +%s", ip)
	}
	for _, ip := range p.RemoveAllowedIPs {
		fmt.Fprintf(&b, " -%s", ip)
	}
	return b.String()
}
