package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Change is what separates one interface from what is wanted: only the
// differences. A Device applies it in the order of the fields, Up last, so
// that an interface never carries packets half configured.
type Change struct {
	Name       string
	PrivateKey *PrivateKey // nil: leave
	ListenPort *uint16     // nil: leave
	Mark       *uint32     // nil: leave
	MTU        int         // bytes; 0: leave

	Peers       []PeerChange // additions and updates, sorted by key; applied before RemovePeers
	RemovePeers []PublicKey  // sorted

	AddAddresses    []netip.Prefix // applied before RemoveAddresses
	RemoveAddresses []netip.Prefix
	Up              bool // bring the interface up; false: leave
}

// PeerChange is what differs in one peer.
type PeerChange struct {
	PublicKey PublicKey
	Add       bool           // the peer is new
	Endpoint  netip.AddrPort // zero: leave
	Keepalive *time.Duration // nil: leave
	// AddAllowedIPs are given to this peer; whichever peer of the interface
	// had one of them loses it in the same instant.
	AddAllowedIPs []netip.Prefix
	// RemoveAllowedIPs are taken from this peer and go to nobody. The peer's
	// other prefixes must not be interrupted: a Device must not clear and
	// refill the list.
	RemoveAllowedIPs []netip.Prefix
}

// Empty says that nothing differs.
func (c Change) Empty() bool {
	return c.PrivateKey == nil && c.ListenPort == nil && c.Mark == nil && c.MTU == 0 &&
		len(c.Peers) == 0 && len(c.RemovePeers) == 0 &&
		len(c.AddAddresses) == 0 && len(c.RemoveAddresses) == 0 && !c.Up
}

// String lists the differences on one line, for logs. It holds no secret.
func (c Change) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.PrivateKey != nil {
		add("private-key %s", redacted)
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

// String lists what differs in the peer.
func (p PeerChange) String() string {
	var b strings.Builder
	sign := "~"
	if p.Add {
		sign = "+"
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
