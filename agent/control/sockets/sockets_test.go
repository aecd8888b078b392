//go:build linux

package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controltest"
)

// quick returns Sockets that do not retry long while a port is in use.
func quick() *Sockets { return &Sockets{local: true, bindTimeout: 20 * time.Millisecond} }

func addrOf(t testing.TB, l net.Listener) netip.AddrPort {
	t.Helper()
	at, err := netip.ParseAddrPort(l.Addr().String())
	require.NoError(t, err)
	return at
}

func TestPortInUseNamesTheOwnerAndTheRemedy(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		_, err = quick().Listen(t.Context(), addrOf(t, l), control.Underlay)
		require.ErrorIs(t, err, unix.EADDRINUSE)
		require.ErrorContains(t, err, fmt.Sprintf("process %d (", os.Getpid()))
		require.ErrorContains(t, err, "control.listen")
		require.NoError(t, l.Close())
	}
}

func TestSecondMeshdCannotShareThePort(t *testing.T) {
	s := quick()
	l, err := s.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), control.Underlay)
	require.NoError(t, err)
	_, err = s.Listen(t.Context(), addrOf(t, l), control.Underlay)
	require.ErrorIs(t, err, unix.EADDRINUSE)
	require.NoError(t, l.Close())
}

func TestListenOnAnAddressOfAnotherHostReturnsARemedy(t *testing.T) {
	_, err := (&Sockets{}).Listen(t.Context(), netip.MustParseAddrPort("192.0.2.1:0"), control.Underlay)
	require.ErrorContains(t, err, "set control.listen to an address of this host")
}

func TestOverlayListenerBindsBesideTheUnderlayOneAndBeforeItsAddressExists(t *testing.T) {
	s := &Sockets{local: true}
	first, err := s.Listen(t.Context(), netip.MustParseAddrPort("[::]:0"), control.Underlay)
	require.NoError(t, err)
	port := addrOf(t, first).Port()
	for _, address := range []string{"fd12:3456:789a::1", "198.51.100.1"} {
		l, err := s.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(address), port), control.Overlay)
		require.NoError(t, err, address)
		require.NoError(t, l.Close())
	}
	require.NoError(t, first.Close())
}

func TestConnectionGoesToTheMoreSpecificListener(t *testing.T) {
	s := &Sockets{local: true}
	first, err := s.Listen(t.Context(), netip.MustParseAddrPort("[::]:0"), control.Underlay)
	require.NoError(t, err)
	defer first.Close()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrOf(t, first).Port())
	overlay, err := s.Listen(t.Context(), at, control.Overlay)
	require.NoError(t, err)
	defer overlay.Close()
	for range 16 { // of two equal listeners, each would receive some
		conn, err := s.Dial(t.Context(), at.String())
		require.NoError(t, err)
		far, err := overlay.Accept()
		require.NoError(t, err)
		require.Equal(t, conn.LocalAddr().String(), far.RemoteAddr().String())
		require.NoError(t, conn.Close())
		require.NoError(t, far.Close())
	}
}

func TestSocketsFulfilTheContract(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) { controltest.Contract(t, quick(), netip.MustParseAddr(address)) })
	}
}

func TestSegmentsFitTheSmallestMTUInBothDirections(t *testing.T) {
	s := &Sockets{local: true}
	for _, path := range []control.Path{control.Underlay, control.Overlay} {
		l, err := s.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), path)
		require.NoError(t, err)
		dialled, err := s.Dial(t.Context(), l.Addr().String())
		require.NoError(t, err)
		accepted, err := l.Accept()
		require.NoError(t, err)
		for end, conn := range map[string]net.Conn{"dialled": dialled, "accepted": accepted} {
			raw, err := conn.(*net.TCPConn).SyscallConn()
			require.NoError(t, err)
			require.NoError(t, onSocket(raw, func(fd int) error {
				size, err := unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_MAXSEG)
				assert.LessOrEqual(t, size, maxSegment, "%s, path %d", end, path)
				return err
			}))
			require.NoError(t, conn.Close())
		}
		require.NoError(t, l.Close())
	}
}

// Another gateway chooses the address, also by a DNS name that it controls.
func TestAddressesOfThisHostAndItsLinksAreNotDialled(t *testing.T) {
	l, err := (&Sockets{}).Listen(t.Context(), netip.MustParseAddrPort("[::]:0"), control.Underlay)
	require.NoError(t, err)
	defer l.Close()
	for _, host := range []string{
		"127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1", "localhost", "0.0.0.0", "::",
		"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1",
	} {
		conn, err := new(Sockets).Dial(t.Context(), net.JoinHostPort(host, strconv.Itoa(int(addrOf(t, l).Port()))))
		if assert.Error(t, err, host) {
			assert.ErrorContains(t, err, "is no address of another host", host)
			continue
		}
		assert.NoError(t, conn.Close())
	}
}
