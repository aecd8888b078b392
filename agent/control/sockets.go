package control

import (
	"context"
	"net"
	"net/netip"
)

// Path says which way the packets of a socket take.
type Path int

const (
	// Underlay is the network between the datacenters. Its packets must escape
	// our own routing table even when a datacenter announces the very addresses
	// of its gateways: they carry the firewall mark.
	Underlay Path = iota
	// Overlay is inside the tunnels. Its packets must use our own routing table.
	Overlay
)

// Sockets opens the TCP sockets of the control port.
type Sockets interface {
	// Listen binds to at. An accepted socket takes the path of its listener.
	Listen(ctx context.Context, at netip.AddrPort, path Path) (net.Listener, error)
	// Dial connects to host:port, over the overlay if that is where the address is.
	Dial(ctx context.Context, address string) (net.Conn, error)
}
