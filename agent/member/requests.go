package member

import (
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
)

// InitOptions are the properties of a new federation.
type InitOptions struct {
	Name    string
	Overlay netip.Prefix   // zero: a random ULA /48 (RFC 4193)
	Allow   []netip.Prefix // besides the private ranges, for the datacenters that join
}

// JoinRequest is what a datacenter brings into a federation.
type JoinRequest struct {
	Prefixes []catalog.Prefix
	Gateway  catalog.Gateway // name, public key, endpoints, controls, version
	// CheckOverlay returns why this host cannot be in a federation with an overlay.
	CheckOverlay func(netip.Prefix) error
}

// Progress receives each completed step of a long command: its stable name and
// a message for the user.
type Progress func(step, message string)
