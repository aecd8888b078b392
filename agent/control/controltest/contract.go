package controltest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
)

// Contract tests the contract of control.Sockets, for simulated and real hosts.
// addr is an address of the host.
func Contract(t *testing.T, sockets control.Sockets, addr netip.Addr) {
	anyPort := netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	listen := func(t *testing.T, at netip.AddrPort, path control.Path) (net.Listener, netip.AddrPort) {
		t.Helper()
		l, err := sockets.Listen(t.Context(), at, path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() }) // it may be closed already
		bound, err := netip.ParseAddrPort(l.Addr().String())
		require.NoError(t, err)
		return l, netip.AddrPortFrom(addr, bound.Port())
	}
	t.Run("a connection carries bytes both ways and ends with EOF", func(t *testing.T) {
		l, at := listen(t, anyPort, control.Underlay)
		near, far := connected(t, sockets, l, at)
		assert.Equal(t, near.LocalAddr().String(), unmapped(t, far.RemoteAddr()))
		assert.Equal(t, at.String(), near.RemoteAddr().String())
		for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
			_, err := ends[0].Write([]byte("x"))
			require.NoError(t, err)
			_, err = io.ReadFull(ends[1], make([]byte, 1))
			require.NoError(t, err)
		}
		require.NoError(t, near.Close())
		_, err := far.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
	t.Run("a port in use is refused", func(t *testing.T) {
		_, at := listen(t, anyPort, control.Underlay)
		_, err := sockets.Listen(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port()), control.Underlay)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	})
	t.Run("a closed listener accepts nothing", func(t *testing.T) {
		l, at := listen(t, anyPort, control.Underlay)
		require.NoError(t, l.Close())
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = sockets.Dial(t.Context(), at.String())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
	t.Run("a listener on the address itself takes precedence", func(t *testing.T) {
		_, at := listen(t, anyPort, control.Underlay)
		specific, _ := listen(t, at, control.Overlay)
		connected(t, sockets, specific, at)
	})
	t.Run("a dial ends with its context", func(t *testing.T) {
		_, at := listen(t, anyPort, control.Underlay)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sockets.Dial(ctx, at.String())
		require.Error(t, err)
	})
}

// connected dials at and accepts at l.
func connected(t testing.TB, sockets control.Sockets, l net.Listener, at netip.AddrPort) (near, far net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		conn, err := l.Accept()
		if assert.NoError(t, err) {
			accepted <- conn
		}
	}()
	near, err := sockets.Dial(t.Context(), at.String())
	require.NoError(t, err)
	far, ok := <-accepted
	require.True(t, ok)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// unmapped returns an address without the IPv4-mapped form of IPv6 sockets.
func unmapped(t testing.TB, addr net.Addr) string {
	t.Helper()
	at, err := netip.ParseAddrPort(addr.String())
	require.NoError(t, err)
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
}
