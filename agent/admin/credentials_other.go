//go:build !linux

package admin

import (
	"errors"
	"fmt"
	"net"
)

// peerUser returns an error, so every connection is refused: meshd runs on Linux.
func peerUser(net.Conn) (int, error) {
	return -1, fmt.Errorf("read credentials: %w", errors.ErrUnsupported)
}

func peerProcess(net.Conn) (int, bool) { return 0, false }
