package control

import (
	"context"
	"net"

	"github.com/meshway/meshway/consensus/catalog"
)

// RaftNetwork carries raft's streams over the control port; it is a
// consensus.Network. Both ends have proven to be members before Accept or
// Dial returns a stream, and it is cut when one of them leaves the federation.
type RaftNetwork struct {
	queue *queue
	dial  func(ctx context.Context, id catalog.GatewayID, address, protocol string) (net.Conn, error)
}

// Accept waits for the next stream that another member opened.
func (n *RaftNetwork) Accept() (net.Conn, error) { return n.queue.Accept() }

// Close ends Accept with net.ErrClosed; streams that are open stay open.
func (n *RaftNetwork) Close() error { return n.queue.Close() }

// Addr returns the address of the control port.
func (n *RaftNetwork) Addr() net.Addr { return n.queue.Addr() }

// Dial opens a stream to the gateway id at address, host:port.
// errors.Is(err, ErrWrongPeer) if another gateway answers there.
func (n *RaftNetwork) Dial(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error) {
	return n.dial(ctx, id, address, protocolRaft)
}
