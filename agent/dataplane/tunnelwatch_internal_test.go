package dataplane

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
)

func TestAChangeOfATunnelByAnotherProgramIsNoticedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGatewayWorld(t)
		w.pass(t.Context())
		w.pass(t.Context())
		var changes atomic.Int32
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watchTunnels(ctx, w.tunnels, w.leftTunnels, func() { changes.Add(1) })
		}()
		after := func(wait time.Duration) int32 {
			changes.Store(0)
			time.Sleep(wait)
			synctest.Wait()
			return changes.Load()
		}
		assert.Zero(t, after(time.Minute))
		peer := w.last.Load().tunnels[0].Peers[0]
		w.tunnels.Handshake("mesh0", peer.PublicKey, netip.MustParseAddrPort("192.0.2.2:1024"), time.Now(), 1)
		assert.Zero(t, after(time.Minute), "what WireGuard itself changes")
		require.NoError(t, w.tunnels.Configure(ctx, tunnel.Change{
			Name: "mesh0", Peers: []tunnel.PeerChange{{PublicKey: peer.PublicKey, RemoveAllowedIPs: peer.AllowedIPs}},
		}))
		assert.EqualValues(t, 1, after(tunnelInterval))
		w.pass(t.Context())
		assert.Zero(t, after(time.Minute), "it is repaired")
		stop()
		<-ended
	})
}
