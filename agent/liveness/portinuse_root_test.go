//go:build linux && root

package liveness_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
)

// daemonPort binds a port on all addresses of a family, as bfdd does.
func daemonPort(t *testing.T, network, address string, share bool) (*net.UDPConn, error) {
	t.Helper()
	cfg := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		outer := raw.Control(func(fd uintptr) {
			if share {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}
		})
		require.NoError(t, outer)
		return err
	}}
	conn, err := cfg.ListenPacket(t.Context(), network, address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn), nil
}

func TestPortIsSharedWithARoutingDaemonInBothOrders(t *testing.T) {
	for name, c := range map[string]struct{ network, any, local string }{
		"IPv4": {"udp4", "0.0.0.0", "127.0.1.1"},
		"IPv6": {"udp6", "[::]", "::1"},
	} {
		for _, daemonFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, daemon first %v", name, daemonFirst), func(t *testing.T) {
				port := freePort(t)
				local := netip.AddrPortFrom(netip.MustParseAddr(c.local), port)
				var ours liveness.PacketConn
				listen := func() (err error) {
					ours, err = liveness.UDP{}.Listen(t.Context(), local, "lo")
					return err
				}
				daemon := func() error {
					_, err := daemonPort(t, c.network, fmt.Sprintf("%s:%d", c.any, port), true)
					return err
				}
				steps := []func() error{daemon, listen}
				if !daemonFirst {
					steps = []func() error{listen, daemon}
				}
				for _, step := range steps {
					require.NoError(t, step())
				}
				defer ours.Close()
				peer, err := liveness.UDP{}.Listen(t.Context(), netip.AddrPortFrom(local.Addr(), freePort(t)), "lo")
				require.NoError(t, err)
				defer peer.Close()
				require.NoError(t, peer.WriteTo([]byte("packet"), local))
				buf := make([]byte, 16)
				n, _, err := ours.ReadFrom(buf)
				require.NoError(t, err)
				assert.Equal(t, "packet", string(buf[:n]), "the more specific socket receives it")
			})
		}
	}
}

func TestPortOfAProcessThatDoesNotShareItNamesTheProcess(t *testing.T) {
	port := freePort(t)
	_, err := daemonPort(t, "udp4", fmt.Sprintf("0.0.0.0:%d", port), false)
	require.NoError(t, err)
	m := liveness.New(liveness.Config{Port: port, Network: liveness.UDP{}})
	err = m.Check(t.Context(), netip.MustParseAddr("127.0.1.1"))
	require.ErrorContains(t, err, fmt.Sprintf("UDP port %d is in use by process %d (", port, os.Getpid()))
	require.NoError(t, m.Check(t.Context(), netip.MustParseAddr("::1")), "the other family is free")

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	m.Set([]plan.SessionConfig{{Gateway: "west/a", Device: "lo", Local: netip.MustParseAddr("127.0.1.1"), Remote: netip.MustParseAddr("127.0.1.2")}})
	require.Eventually(t, func() bool { return m.Sessions()[0].PortOwner != "" }, 10*time.Second, 10*time.Millisecond)
	assert.Contains(t, m.Sessions()[0].PortOwner, fmt.Sprintf("process %d (", os.Getpid()))
	cancel()
	require.NoError(t, <-ended)
}

// freePort returns a UDP port that no socket has.
func freePort(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenPacket("udp", "[::]:0")
	require.NoError(t, err)
	defer conn.Close()
	return netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
}
