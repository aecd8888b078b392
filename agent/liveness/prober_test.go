package liveness_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// probe runs a test with a prober of host B.
func probe(t *testing.T, f func(t *testing.T, n *livenesstest.Network, p *liveness.Prober)) {
	synctest.Test(t, func(t *testing.T) {
		n := livenesstest.New(1)
		n.SetLatency(10 * time.Millisecond)
		p := liveness.NewProber(liveness.Config{Network: n, Interval: 100 * time.Millisecond, Multiplier: 5})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		p.Set([]plan.SessionConfig{target("east/b", addrB)})
		f(t, n, p)
		cancel()
		require.NoError(t, <-done)
	})
}

func target(id catalog.GatewayID, remote netip.Addr) plan.SessionConfig {
	return plan.SessionConfig{Gateway: id, Device: "eth0", Local: addrA, Remote: remote}
}

// waitForChange returns the time until the state of a host changes.
func waitForChange(t *testing.T, p *liveness.Prober, limit time.Duration) time.Duration {
	t.Helper()
	begin, changed := time.Now(), p.Changed()
	select {
	case <-changed:
	case <-time.After(limit):
		require.Fail(t, "no change", "after %s", limit)
	}
	return time.Since(begin)
}

func TestAHostThatStopsAnsweringIsDownAfterTheDetectionTime(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, p *liveness.Prober) {
		n.SetHost(addrB, true)
		waitForChange(t, p, time.Second)
		time.Sleep(time.Second)
		s := p.Sessions()[0]
		assert.True(t, s.Up)
		assert.Equal(t, 20*time.Millisecond, s.RTT)
		n.SetHost(addrB, false)
		assert.LessOrEqual(t, waitForChange(t, p, time.Second), 530*time.Millisecond)
		s = p.Sessions()[0]
		assert.False(t, s.Up)
		assert.False(t, s.Undecided)
		n.SetHost(addrB, true)
		assert.LessOrEqual(t, waitForChange(t, p, 2*time.Second), 1100*time.Millisecond)
		assert.True(t, p.Sessions()[0].Up)
		select {
		case <-p.Changed():
			t.Error("the host does not stay up")
		case <-time.After(10 * time.Second):
		}
	})
}

func TestAHostThatNeverAnsweredIsUndecidedAndThenDown(t *testing.T) {
	probe(t, func(t *testing.T, _ *livenesstest.Network, p *liveness.Prober) {
		time.Sleep(4 * time.Second)
		s := p.Sessions()[0]
		assert.True(t, s.Undecided)
		assert.False(t, s.Up)
		time.Sleep(2 * time.Second)
		s = p.Sessions()[0]
		assert.False(t, s.Undecided)
		assert.False(t, s.Up)
	})
}

func TestALostEchoIsNoFailure(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, p *liveness.Prober) {
		n.SetHost(addrB, true)
		waitForChange(t, p, time.Second)
		n.SetLoss(addrA, addrB, 0.2)
		changed := p.Changed()
		select {
		case <-changed:
			t.Error("changed")
		case <-time.After(20 * time.Second):
		}
		assert.Positive(t, p.Sessions()[0].Loss)
	})
}

func TestAHostThatIsDownIsProbedOnceASecond(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, _ *liveness.Prober) {
		time.Sleep(10 * time.Second)
		before := n.Sent(addrA, addrB)
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 10, n.Sent(addrA, addrB)-before, 1)
	})
}

func TestSetKeepsTargetsAndDropsRemovedOnes(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, p *liveness.Prober) {
		n.SetHost(addrB, true)
		waitForChange(t, p, time.Second)
		other := netip.MustParseAddr("fd00::c")
		p.Set([]plan.SessionConfig{target("east/b", addrB), target("east/c", other)})
		s := p.Sessions()
		require.Len(t, s, 2)
		assert.True(t, s[0].Up, "its state is kept")
		assert.True(t, s[1].Undecided)
		p.Set([]plan.SessionConfig{target("east/d", addrB)})
		s = p.Sessions()
		require.Len(t, s, 1)
		assert.True(t, s[0].Undecided, "the address belongs to another gateway now")
	})
}

func TestABrokenEchoSocketIsReopened(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, p *liveness.Prober) {
		n.SetHost(addrB, true)
		waitForChange(t, p, time.Second)
		n.Break(addrA)
		time.Sleep(5 * time.Second)
		assert.True(t, p.Sessions()[0].Up)
	})
}

func TestAGatewayIsUpWhileOneOfItsAddressesAnswers(t *testing.T) {
	probe(t, func(t *testing.T, n *livenesstest.Network, p *liveness.Prober) {
		other := netip.MustParseAddr("192.0.2.2")
		n.SetHost(addrB, true)
		p.Set([]plan.SessionConfig{target("east/b", addrB), target("east/b", other), target("east/c", netip.MustParseAddr("192.0.2.3"))})
		time.Sleep(10 * time.Second)
		require.Len(t, p.Sessions(), 2, "one for each gateway")
		assert.True(t, p.Sessions()[0].Up)
		assert.False(t, p.Sessions()[1].Up)
		n.SetHost(other, true)
		n.SetHost(addrB, false)
		time.Sleep(2 * time.Second)
		assert.True(t, p.Sessions()[0].Up, "the other address answers")
		n.SetHost(other, false)
		assert.LessOrEqual(t, waitForChange(t, p, time.Second), 530*time.Millisecond)
		assert.False(t, p.Sessions()[0].Up)
	})
}
