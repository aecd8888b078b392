package sim

import (
	"context"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/liveness"
)

// overlay is the overlay network of a gateway. It delivers a packet if a tunnel
// connects the gateway with the destination, and updates the tunnels of both as
// WireGuard does for an authenticated packet.
type overlay struct {
	sim     *simulation
	gateway *gateway
}

// Listen implements liveness.Network.
func (o overlay) Listen(ctx context.Context, local netip.AddrPort, device string) (liveness.PacketConn, error) {
	o.gateway.host.SetOverlay(local.Addr())
	conn, err := o.sim.overlayNet.Listen(ctx, local, o.link(device))
	return overlayConn{conn, o}, err
}

// ListenEcho implements liveness.Network.
func (o overlay) ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error) {
	conn, err := o.sim.overlayNet.ListenEcho(ctx, local, o.link(device))
	return overlayConn{conn, o}, err
}

// link returns the name of a device of this gateway in the overlay network. Two hosts
// that join at the same time may check the same overlay address before one of them is
// refused; neither has the port of the other in use.
func (o overlay) link(device string) string { return o.gateway.name() + "/" + device }

// overlayConn is a connection on the overlay.
type overlayConn struct {
	liveness.PacketConn
	overlay
}

// WriteTo implements liveness.PacketConn.
func (c overlayConn) WriteTo(b []byte, to netip.AddrPort) error {
	for name, peer := range c.sim.allGateways() {
		if !peer.tunnels.HasAddress(to.Addr()) {
			continue
		}
		if !c.sim.connected(c.gateway.name(), name) {
			return nil // the packet is lost
		}
		peer.tunnels.Handshake(lane0, c.gateway.key, c.gateway.endpoint(), time.Now(), uint64(len(b)))
		c.gateway.tunnels.Handshake(lane0, peer.key, peer.endpoint(), time.Now(), 0)
	}
	return c.PacketConn.WriteTo(b, to)
}
