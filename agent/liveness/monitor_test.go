package liveness_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

var (
	addrA = netip.MustParseAddr("fd00::a")
	addrB = netip.MustParseAddr("fd00::b")
	keyB  = tunnel.PublicKey{'b'}
)

// agent is one monitor with one session.
type agent struct {
	*liveness.Monitor
	stop func()
}

// start runs the monitor of one host with a session to the other.
func start(t *testing.T, network liveness.Network, local, remote netip.Addr) *agent {
	return startMonitor(t, liveness.New(liveness.Config{Network: network}), local, remote)
}

func startMonitor(t *testing.T, m *liveness.Monitor, local, remote netip.Addr) *agent {
	m.Set([]plan.SessionConfig{{Gateway: catalog.GatewayID("peer/" + remote.String()), Device: "mesh0", Local: local, Remote: remote, Key: tunnel.PublicKey{remote.String()[len(remote.String())-1]}}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		require.NoError(t, m.Run(ctx))
	}()
	a := &agent{Monitor: m}
	a.stop = func() { cancel(); <-done }
	return a
}

func (a *agent) session(t *testing.T) plan.Session {
	t.Helper()
	all := a.Sessions()
	require.Len(t, all, 1)
	return all[0]
}

// simulate runs a test with two agents in a bubble.
func simulate(t *testing.T, f func(t *testing.T, n *livenesstest.Network, a, b *agent)) {
	synctest.Test(t, func(t *testing.T) {
		n := livenesstest.New(1)
		n.SetLatency(10 * time.Millisecond)
		a, b := start(t, n, addrA, addrB), start(t, n, addrB, addrA)
		time.Sleep(2 * time.Second)
		require.True(t, a.session(t).Up)
		require.True(t, b.session(t).Up)
		f(t, n, a, b)
		a.stop()
		b.stop()
	})
}

// watch returns the time until the session of a is up or down.
func watch(t *testing.T, a *agent, up bool, limit time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		changed := a.Changed()
		if a.session(t).Up == up {
			return time.Since(begin)
		}
		select {
		case <-changed:
		case <-time.After(limit - time.Since(begin)):
			require.Fail(t, "no change", "up=%v after %s", up, limit)
		}
	}
}

func TestASessionComesUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := livenesstest.New(1)
		n.SetLatency(10 * time.Millisecond)
		a := start(t, n, addrA, addrB)
		time.Sleep(300 * time.Millisecond)
		require.True(t, a.session(t).Undecided, "the peer is not running yet")
		b := start(t, n, addrB, addrA)
		// b sends first; both are up after one more round trip.
		require.LessOrEqual(t, watch(t, a, true, time.Second), 50*time.Millisecond)
		require.LessOrEqual(t, watch(t, b, true, time.Second), 50*time.Millisecond)
		require.False(t, a.session(t).Undecided)
		a.stop()
		b.stop()
	})
}

func TestAPeerThatNeverAnswersIsUndecidedAndThenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := livenesstest.New(1)
		a := start(t, n, addrA, addrB)
		time.Sleep(3900 * time.Millisecond)
		require.True(t, a.session(t).Undecided)
		time.Sleep(1200 * time.Millisecond)
		require.Equal(t, plan.Session{Gateway: "peer/fd00::b", Since: a.session(t).Since}, a.session(t))
		require.LessOrEqual(t, n.Sent(addrA, addrB), 9, "RFC 5880 section 6.8.3: at most about one per second while down")
		a.stop()
	})
}

func TestADeadPeerIsDownWithinTheDetectionTime(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.Cut(addrA, addrB, true)
		n.Cut(addrB, addrA, true)
		for _, one := range []*agent{a, b} {
			require.LessOrEqual(t, watch(t, one, false, time.Second), 410*time.Millisecond)
		}
		n.Cut(addrA, addrB, false)
		n.Cut(addrB, addrA, false)
		require.LessOrEqual(t, watch(t, a, true, 5*time.Second), 1100*time.Millisecond)
	})
}

func TestLossInOneDirectionTakesBothEndsDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.Cut(addrA, addrB, true)
		require.LessOrEqual(t, watch(t, b, false, time.Second), 410*time.Millisecond, "b receives nothing")
		require.LessOrEqual(t, watch(t, a, false, time.Second), 30*time.Millisecond, "b announces state Down")
		time.Sleep(10 * time.Second)
		require.False(t, a.session(t).Up)
		require.False(t, b.session(t).Up)
	})
}

func TestReceivedBytesExtendASession(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		b.stop()
		n.SetHost(addrB, false) // without echo replies
		bytes := uint64(1000)
		a.Activity(map[tunnel.PublicKey]uint64{keyB: bytes})
		for range 20 {
			time.Sleep(200 * time.Millisecond)
			bytes += 100
			a.Activity(map[tunnel.PublicKey]uint64{keyB: bytes})
			require.True(t, a.session(t).Up)
		}
		a.Activity(map[tunnel.PublicKey]uint64{{'x'}: bytes + 100})
		a.Activity(map[tunnel.PublicKey]uint64{keyB: bytes}) // the counter has not grown
		require.LessOrEqual(t, watch(t, a, false, time.Second), 410*time.Millisecond)
		a.Activity(map[tunnel.PublicKey]uint64{keyB: bytes + 1})
		time.Sleep(time.Second)
		require.False(t, a.session(t).Up, "bytes alone bring no session up")
		heard := a.session(t).LastPacket
		a.Activity(map[tunnel.PublicKey]uint64{keyB: bytes + 2})
		require.True(t, a.session(t).LastPacket.After(heard), "but the peer is at its endpoint")
	})
}

func TestBytesSinceAnOldCounterExtendNothing(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		a.Activity(map[tunnel.PublicKey]uint64{keyB: 1000})
		for range len(a.Overdue()) {
			<-a.Overdue() // from before the session was up
		}
		time.Sleep(10 * time.Second)
		require.Empty(t, a.Overdue(), "control packets arrive")
		b.stop()
		n.SetHost(addrB, false)
		time.Sleep(300 * time.Millisecond)
		require.NotEmpty(t, a.Overdue())
		a.Activity(map[tunnel.PublicKey]uint64{keyB: 9000}) // the bytes may be seconds old
		require.LessOrEqual(t, watch(t, a, false, time.Second), 110*time.Millisecond)
	})
}

func TestASessionStaysUpWhileThePeersAgentRestarts(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		since := a.session(t).Since
		b.stop() // b's kernel still answers echoes
		time.Sleep(30 * time.Second)
		require.True(t, a.session(t).Up)
		b = start(t, n, addrB, addrA)
		require.LessOrEqual(t, watch(t, b, true, 2*time.Second), 1100*time.Millisecond)
		time.Sleep(10 * time.Second)
		require.True(t, a.session(t).Up)
		require.Equal(t, since, a.session(t).Since, "never reported down")
		b.stop()
	})
}

func TestAPeerThatRestartsQuicklyIsNotReportedDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		since := a.session(t).Since
		b.stop()
		b = start(t, n, addrB, addrA)
		time.Sleep(5 * time.Second)
		require.Equal(t, since, a.session(t).Since)
		require.True(t, b.session(t).Up)
		b.stop()
	})
}

func TestAHostThatDiesWhileItsAgentIsStoppedIsDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		b.stop()
		time.Sleep(5 * time.Second)
		n.SetHost(addrB, false)
		require.LessOrEqual(t, watch(t, a, false, time.Second), 410*time.Millisecond)
	})
}

func TestRoundTripTimeAndLossAreMeasured(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, _ *agent) {
		time.Sleep(10 * time.Second)
		s := a.session(t)
		require.Equal(t, 20*time.Millisecond, s.RTT)
		require.Zero(t, s.Loss)
		n.SetLoss(addrA, addrB, 0.3)
		// One window of 20 echoes is too short for a bound: one in 100 deviates by
		// more than 0.25. The mean of these windows deviates by 0.1 less often than
		// once in a million.
		const windows = 40
		var sum float64
		for range windows {
			time.Sleep(30 * time.Second)
			sum += a.session(t).Loss
		}
		require.InDelta(t, 0.3, sum/windows, 0.1)
	})
}

func TestFewerLostPacketsThanTheDetectMultiplierAreNoFailure(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		since := a.session(t).Since
		// Less than three intervals, the shortest of which is 75 ms: at most three packets
		// are lost, and four in a row are never missed.
		const cut = 220 * time.Millisecond
		for range 20 {
			n.Cut(addrB, addrA, true)
			time.Sleep(cut)
			n.Cut(addrB, addrA, false)
			time.Sleep(250 * time.Millisecond)
		}
		require.Equal(t, since, a.session(t).Since)
		require.True(t, b.session(t).Up)
	})
}

func TestSetKeepsOtherSessions(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		before := a.session(t)
		addrC := netip.MustParseAddr("fd00::c")
		both := []plan.SessionConfig{
			{Gateway: "peer/fd00::b", Device: "mesh0", Local: addrA, Remote: addrB, Key: keyB},
			{Gateway: "peer/fd00::c", Device: "mesh0", Local: addrA, Remote: addrC},
		}
		a.Set(both)
		time.Sleep(time.Second)
		require.Len(t, a.Sessions(), 2)
		require.Equal(t, before.Since, a.Sessions()[0].Since)
		a.Set(both[1:])
		require.Equal(t, catalog.GatewayID("peer/fd00::c"), a.session(t).Gateway)
		time.Sleep(time.Second)
		a.Set(nil)
		time.Sleep(2 * time.Second)
		require.Empty(t, a.Sessions())
		require.False(t, b.session(t).Up, "b has received AdminDown")
		b.stop()
		sent := n.Sent(addrA, addrB) + n.Sent(addrA, addrC)
		time.Sleep(10 * time.Second)
		require.Equal(t, sent, n.Sent(addrA, addrB)+n.Sent(addrA, addrC), "nothing is sent without sessions")
		b = start(t, n, addrB, addrA)
		a.Set(both[:1])
		require.LessOrEqual(t, watch(t, a, true, 5*time.Second), 1100*time.Millisecond)
		b.stop()
	})
}

func TestABrokenSocketIsReopened(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.Break(addrA)
		time.Sleep(5 * time.Second)
		require.True(t, a.session(t).Up)
		require.True(t, b.session(t).Up)
	})
}

func TestASessionThatIsUpSendsAtItsInterval(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, _, _ *agent) {
		before := n.Sent(addrA, addrB)
		time.Sleep(10 * time.Second)
		// 75…100 ms, and one echo and one echo reply a second.
		require.InDelta(t, 10*(1/0.0875+2), n.Sent(addrA, addrB)-before, 8)
	})
}
