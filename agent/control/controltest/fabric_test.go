package controltest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
)

const east = "203.0.113.1:7443"

// dialled returns both ends of a connection from host b to host a.
func dialled(t testing.TB, a, b *Host, address string) (near, far net.Conn) {
	t.Helper()
	l, err := a.Listen(t.Context(), netip.MustParseAddrPort(address), control.Underlay)
	require.NoError(t, err)
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	near, err = b.Dial(t.Context(), address)
	require.NoError(t, err)
	far = <-accepted
	t.Cleanup(func() { _, _, _ = near.Close(), far.Close(), l.Close() })
	return near, far
}

func twoHosts() (*Fabric, *Host, *Host) {
	f := New()
	return f, f.Host("a", "203.0.113.1"), f.Host("b", "203.0.113.2")
}

func TestPartitionDelaysPacketsUntilItHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, b := twoHosts()
		near, far := dialled(t, a, b, east)
		f.Isolate("a")
		_, err := near.Write([]byte("x"))
		require.NoError(t, err, "the sender does not notice")
		require.NoError(t, far.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = far.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.Dial(ctx, east)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		require.NoError(t, far.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Minute, func() { f.Rejoin("a") })
		_, err = io.ReadFull(far, make([]byte, 1))
		require.NoError(t, err)
	})
}

func TestCrashResetsConnectionsAndRefusesNewOnes(t *testing.T) {
	_, a, b := twoHosts()
	near, _ := dialled(t, a, b, east)
	a.Crash()
	_, err := near.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = b.Dial(t.Context(), east)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = b.Dial(t.Context(), "203.0.113.9:7443")
	require.ErrorIs(t, err, syscall.EHOSTUNREACH)
}

func TestPortInUseIsRefused(t *testing.T) {
	_, a, _ := twoHosts()
	at := netip.MustParseAddrPort("[::]:7443")
	l, err := a.Listen(t.Context(), at, control.Underlay)
	require.NoError(t, err)
	_, err = a.Listen(t.Context(), at, control.Underlay)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, l.Close())
	_, err = a.Listen(t.Context(), at, control.Underlay)
	require.NoError(t, err)
}

func TestOverlayAddressIsReachableOnlyThroughTunnels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, b := twoHosts()
		a.SetOverlay(netip.MustParseAddr("fd00::a"))
		b.SetOverlay(netip.MustParseAddr("fd00::b"))
		up := false
		f.SetOverlay(func(string, string) bool { return up })
		at := netip.MustParseAddrPort("[fd00::a]:7443")
		l, err := a.Listen(t.Context(), at, control.Overlay)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.Dial(ctx, at.String())
		require.ErrorIs(t, err, context.DeadlineExceeded)

		up = true
		f.Changed()
		go func() {
			conn, err := l.Accept()
			assert.NoError(t, err)
			assert.Equal(t, "fd00::b", netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr().String())
			_ = conn.Close()
		}()
		conn, err := b.Dial(t.Context(), at.String())
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.True(t, errors.Is(err, io.EOF), "%v", err)
	})
}

func TestHostFulfilsTheContractOfSockets(t *testing.T) {
	Contract(t, New().Host("a", "203.0.113.1"), netip.MustParseAddr("203.0.113.1"))
}
