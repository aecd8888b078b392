package control

import (
	"context"
	"net"
	"net/netip"
)

// Path is the network that carries the packets of a socket.
type Path int

const (
	// Underlay is the network between the datacenters. Its packets carry the
	// firewall mark, so that they bypass Meshway's routing table even if a
	// datacenter announces the addresses of its own gateways.
	Underlay Path = iota
	// Overlay is the network inside the tunnels. Its packets use Meshway's
	// routing table.
	Overlay
)

// Sockets opens the TCP sockets of the control port.
type Sockets interface {
	// Listen binds to at. An accepted socket uses the path of its listener.
	Listen(ctx context.Context, at netip.AddrPort, path Path) (net.Listener, error)
	// Dial connects to host:port, over the overlay if the address is in it and
	// over the underlay otherwise.
	Dial(ctx context.Context, address string) (net.Conn, error)
}
