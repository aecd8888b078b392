//go:build !linux

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/meshway/meshway/agent/control"
)

// Sockets opens sockets of this host; on this system it opens none.
type Sockets struct {
	Mark    uint32
	Overlay func() netip.Prefix
}

var _ control.Sockets = (*Sockets)(nil)

// Listen is not supported here.
func (s *Sockets) Listen(context.Context, netip.AddrPort, control.Path) (net.Listener, error) {
	return nil, fmt.Errorf("listen on control port: %w", errors.ErrUnsupported)
}

// Dial is not supported here.
func (s *Sockets) Dial(context.Context, string) (net.Conn, error) {
	return nil, fmt.Errorf("dial control port: %w", errors.ErrUnsupported)
}
