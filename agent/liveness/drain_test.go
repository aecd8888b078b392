package liveness_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
)

func TestADrainedGatewayStillSendsAndReceivesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, _ *livenesstest.Network, a, b *agent) {
		a.Drain(true)
		require.LessOrEqual(t, watch(t, b, false, time.Second), 15*time.Millisecond, "one latency, not a detection time")
		require.True(t, b.session(t).Draining, "b does not report a failure")
		require.True(t, a.session(t).Up, "a can still send")
		time.Sleep(time.Minute)
		require.True(t, a.session(t).Up)
		require.False(t, a.session(t).Draining)
		require.True(t, b.session(t).Draining)

		a.Drain(false)
		since := a.session(t).Since
		require.LessOrEqual(t, watch(t, b, true, 3*time.Second), 1100*time.Millisecond)
		require.False(t, b.session(t).Draining)
		time.Sleep(time.Minute)
		require.Equal(t, since, a.session(t).Since, "a's session was always up")
	})
}

func TestDrainIsRepeatedWhenPacketsAreLost(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.Cut(addrA, addrB, true)
		a.Drain(true)
		time.Sleep(50 * time.Millisecond)
		n.Cut(addrA, addrB, false)
		require.LessOrEqual(t, watch(t, b, false, time.Second), 130*time.Millisecond)
		require.True(t, b.session(t).Draining)
	})
}

func TestADrainedGatewayThatDiesIsDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		a.Drain(true)
		watch(t, b, false, time.Second)
		n.Cut(addrA, addrB, true)
		n.Cut(addrB, addrA, true)
		time.Sleep(6 * time.Second)
		require.False(t, b.session(t).Draining)
		require.False(t, a.session(t).Up)
	})
}

func TestAnAgentThatStartsDrainedStaysDrained(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		a.Drain(true)
		watch(t, b, false, time.Second)
		a.stop()
		m := liveness.New(liveness.Config{Network: n})
		m.Drain(true)
		a = startMonitor(t, m, addrA, addrB)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			require.False(t, b.session(t).Up)
		}
		require.True(t, b.session(t).Draining)
		require.True(t, a.session(t).Up)
		a.stop()
	})
}

func TestBothEndsCanBeDrained(t *testing.T) {
	simulate(t, func(t *testing.T, _ *livenesstest.Network, a, b *agent) {
		a.Drain(true)
		b.Drain(true)
		time.Sleep(time.Minute)
		a.Drain(false)
		time.Sleep(time.Minute)
		require.True(t, a.session(t).Draining, "b is still drained")
		b.Drain(false)
		watch(t, a, true, 3*time.Second)
		watch(t, b, true, 3*time.Second)
	})
}
