package pathmtu_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
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

// limited is a network that loses echoes whose payload is too large.
type limited struct {
	*livenesstest.Network
	limit atomic.Int64
}

func (l *limited) ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error) {
	c, err := l.Network.ListenEcho(ctx, local, device)
	return limitedConn{c, &l.limit}, err
}

type limitedConn struct {
	liveness.PacketConn
	limit *atomic.Int64
}

func (c limitedConn) WriteTo(b []byte, to netip.AddrPort) error {
	if int64(len(b)) > c.limit.Load() {
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
