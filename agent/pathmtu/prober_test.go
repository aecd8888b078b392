package pathmtu_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/pathmtu"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// limited is a network that loses echoes whose payload is too large. A socket sends only
// on the interface that existed when it was opened.
type limited struct {
	*livenesstest.Network
	limit             atomic.Int64
	interfaces, opens atomic.Int64
	sendError         atomic.Pointer[error] // of all sockets; nil: none
}

func (l *limited) ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error) {
	l.opens.Add(1)
	c, err := l.Network.ListenEcho(ctx, local, device)
	return limitedConn{c, l, l.interfaces.Load()}, err
}

type limitedConn struct {
	liveness.PacketConn
	network *limited
	on      int64 // interface
}

func (c limitedConn) WriteTo(b []byte, to netip.AddrPort) error {
	if err := c.network.sendError.Load(); err != nil {
		return *err
	}
	if c.on != c.network.interfaces.Load() {
		return syscall.ENODEV
	}
	if int64(len(b)) > c.network.limit.Load() {
		return nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func session(id catalog.GatewayID, remote string) plan.SessionConfig {
	return plan.SessionConfig{Gateway: id, Device: "mesh0", Local: netip.MustParseAddr("fd77::1"), Remote: netip.MustParseAddr(remote)}
}

func TestProberFollowsThePathsOfAllPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &limited{Network: livenesstest.New(1)}
		n.SetLatency(5 * time.Millisecond)
		n.limit.Store(1500)
		n.SetHost(netip.MustParseAddr("fd77::2"), true)
		p := pathmtu.New(n, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		both := []plan.SessionConfig{session("west/a", "fd77::2"), session("north/a", "fd77::3")}
		changed := p.Changed()
		p.Set(both, 1420)
		<-changed
		assert.Equal(t, map[catalog.GatewayID]int{"west/a": 1420}, p.Found(), "north does not answer")

		time.Sleep(time.Minute)
		n.limit.Store(1340 - 40 - 8)
		began, changed := time.Now(), p.Changed()
		<-changed
		time.Sleep(300 * time.Millisecond)
		assert.Less(t, time.Since(began), time.Second)
		assert.Equal(t, map[catalog.GatewayID]int{"west/a": 1328}, p.Found())

		ipv4 := plan.SessionConfig{Gateway: "west/a", Device: "mesh0", Local: netip.MustParseAddr("10.77.0.1"), Remote: netip.MustParseAddr("10.77.0.2")}
		n.SetHost(ipv4.Remote, true)
		p.Set(append([]plan.SessionConfig{ipv4}, both...), 1420)
		time.Sleep(3 * time.Second)
		assert.Equal(t, map[catalog.GatewayID]int{"west/a": 1312}, p.Found(), "the smaller one of two sessions")

		p.Set(both, 1300)
		time.Sleep(time.Second)
		assert.Equal(t, map[catalog.GatewayID]int{"west/a": 1300}, p.Found(), "the interface is the limit")

		p.Set(both[1:], 1300)
		assert.Empty(t, p.Found())
		p.Set(nil, 1300)
		cancel()
		require.NoError(t, <-done)
	})
}

// TestProberReopensTheSocketOfAnInterfaceThatWasReplaced reads no error: a socket stays
// bound to the interface that was removed.
func TestProberReopensTheSocketOfAnInterfaceThatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &limited{Network: livenesstest.New(1)}
		n.limit.Store(1500)
		n.SetHost(netip.MustParseAddr("fd77::2"), true)
		p := pathmtu.New(n, slog.New(slog.DiscardHandler))
		go func() { _ = p.Run(t.Context()) }()
		p.Set([]plan.SessionConfig{session("west/a", "fd77::2")}, 1420)
		want := map[catalog.GatewayID]int{"west/a": 1420}
		time.Sleep(2 * time.Second)
		require.Equal(t, want, p.Found())

		n.interfaces.Add(1)
		time.Sleep(3 * time.Second)
		assert.Equal(t, want, p.Found())
		assert.EqualValues(t, 2, n.opens.Load())

		for _, transient := range []error{syscall.EMSGSIZE, syscall.EAGAIN, syscall.ENOBUFS} {
			err := fmt.Errorf("send: %w", transient)
			n.sendError.Store(&err)
			time.Sleep(5 * time.Second)
			n.sendError.Store(nil)
			assert.EqualValues(t, 2, n.opens.Load(), "%v is about a packet, not the socket", transient)
		}
		err := error(syscall.EPERM) // lasts
		n.sendError.Store(&err)
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(t, n.opens.Load(), int64(12), "once a second at most")
		n.sendError.Store(nil)
		time.Sleep(3 * time.Second)
		assert.Equal(t, want, p.Found())
	})
}
