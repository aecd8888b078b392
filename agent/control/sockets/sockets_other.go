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

// Sockets opens no sockets on this system.
type Sockets struct {
	Mark    uint32
	Overlay func() netip.Prefix
}

var _ control.Sockets = (*Sockets)(nil)

// Listen returns errors.ErrUnsupported.
func (s *Sockets) Listen(context.Context, netip.AddrPort, control.Path) (net.Listener, error) {
	return nil, fmt.Errorf("listen on control port: %w", errors.ErrUnsupported)
}

// Dial returns errors.ErrUnsupported.
func (s *Sockets) Dial(context.Context, string) (net.Conn, error) {
	return nil, fmt.Errorf("dial control port: %w", errors.ErrUnsupported)
}
