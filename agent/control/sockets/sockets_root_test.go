//go:build linux && root

package sockets

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/control"
)

const mark = 0x20

func markOf(t testing.TB, conn net.Conn) int {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	value := -1
	require.NoError(t, raw.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK)
	}))
	require.NoError(t, err)
	return value
}

func TestUnderlaySocketsCarryTheMarkAndOverlaySocketsDoNot(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test needs root")
	// Loopback carries both networks: 127.0.1.0/24 is the overlay.
	overlay := netip.MustParsePrefix("127.0.1.0/24")
	s := &Sockets{local: true, Mark: mark, Overlay: func() netip.Prefix { return overlay }}
	first, err := s.Listen(t.Context(), netip.MustParseAddrPort("[::]:0"), control.Underlay)
	require.NoError(t, err)
	defer first.Close()
	port := addrOf(t, first).Port()
	second, err := s.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("127.0.1.1"), port), control.Overlay)
	require.NoError(t, err)
	defer second.Close()

	tests := []struct {
		name, target string
		listener     net.Listener
		want         int
	}{
		{"underlay", "127.0.0.1", first, mark},
		{"underlay, IPv6", "::1", first, mark},
		{"underlay, by name", "localhost", first, mark},
		{"overlay", "127.0.1.1", second, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near, err := s.Dial(t.Context(), net.JoinHostPort(test.target, addrText(port)))
			require.NoError(t, err)
			far, err := test.listener.Accept()
			require.NoError(t, err)
			assert.Equal(t, test.want, markOf(t, near), "dialled")
			assert.Equal(t, test.want, markOf(t, far), "accepted")
			require.NoError(t, near.Close())
			require.NoError(t, far.Close())
		})
	}
}

func addrText(port uint16) string {
	_, text, _ := net.SplitHostPort(netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
	return text
}
