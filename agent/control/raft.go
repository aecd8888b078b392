package control

import (
	"context"
	"fmt"
	"net"

	"github.com/meshway/meshway/agent/control/internal/connqueue"
	"github.com/meshway/meshway/consensus/catalog"
)

// RaftNetwork carries the streams of raft over the control port; it is a
// consensus.Network. Accept and Dial return a stream after both ends have verified
// that the other is a member. The stream is closed when one of them leaves the
// federation.
type RaftNetwork struct {
	queue *connqueue.Queue
	dial  dialFunc
}

// memberStream is a stream and the gateway at its other end.
type memberStream struct {
	net.Conn
	peer catalog.GatewayID
}

// Accept waits for the next stream that another member opened, and returns which one
// that is.
func (n *RaftNetwork) Accept() (net.Conn, catalog.GatewayID, error) {
	conn, err := n.queue.Accept()
	if err != nil {
		return nil, "", err
	}
	stream, ok := conn.(memberStream)
	if !ok {
		return nil, "", fmt.Errorf("accept a stream of raft: unexpected %T", conn)
	}
	return stream.Conn, stream.peer, nil
}

// Close ends Accept with net.ErrClosed. Open streams stay open.
func (n *RaftNetwork) Close() error { return n.queue.Close() }

// Addr returns the address of the control port.
func (n *RaftNetwork) Addr() net.Addr { return n.queue.Addr() }

// Dial opens a stream to the gateway id at address, host:port. It returns
// ErrWrongPeer (errors.Is) if another gateway answers there.
func (n *RaftNetwork) Dial(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error) {
	return n.dial(ctx, id, address, protocolRaft)
}
