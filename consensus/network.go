package consensus

import (
	"context"
	"net"

	"github.com/meshway/meshway/consensus/catalog"
)

// Network carries the streams of the replication between gateways. Both ends of
// a stream have proven to be members before Accept or Dial returns it.
type Network interface {
	// Accept waits for the next stream that another member opened, and returns the id
	// of that member.
	Accept() (net.Conn, catalog.GatewayID, error)
	// Close ends Accept with an error.
	Close() error
	// Addr returns the local address.
	Addr() net.Addr
	// Dial opens a stream to the gateway id at address, an overlay ip:port or
	// the host:port of a control port. It fails unless id is proven to answer.
	Dial(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error)
}
