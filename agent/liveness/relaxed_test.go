package liveness_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/plan"
)

// setRelaxed changes the interval of the session of a, as the planner does when
// gateways join or leave.
func (a *agent) setRelaxed(local, remote netip.Addr, relaxed bool) {
	a.Set([]plan.SessionConfig{{
		Gateway: a.Sessions()[0].Gateway, Device: "mesh0", Local: local, Remote: remote, Relaxed: relaxed,
	}})
}

func TestASessionChangesItsIntervalWithoutGoingDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.SetHost(addrA, false) // without echoes
		n.SetHost(addrB, false)
		since := b.session(t).Since
		n.Cut(addrA, addrB, true) // the announcement of the change is lost
		a.setRelaxed(addrA, addrB, true)
		time.Sleep(150 * time.Millisecond)
		n.Cut(addrA, addrB, false)
		time.Sleep(3 * time.Second)
		b.setRelaxed(addrB, addrA, true)
		time.Sleep(3 * time.Second)
		before := n.Sent(addrA, addrB)
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, n.Sent(addrA, addrB)-before, 50, "packets of 10 s")
		a.setRelaxed(addrA, addrB, false)
		b.setRelaxed(addrB, addrA, false)
		time.Sleep(3 * time.Second)
		require.Equal(t, since, b.session(t).Since, "it was always up")
	})
}

func TestARelaxedSessionGoesDownAfterTheLongerDetectionTime(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		a.setRelaxed(addrA, addrB, true) // the longer interval of both ends is used
		time.Sleep(3 * time.Second)
		n.Cut(addrA, addrB, true)
		n.Cut(addrB, addrA, true)
		for _, end := range []*agent{a, b} {
			took := watch(t, end, false, 3*time.Second)
			require.LessOrEqual(t, took, 5*liveness.DefaultMultiplier*liveness.DefaultInterval+20*time.Millisecond)
		}
	})
}

func TestASessionThatIsNoLongerRelaxedHasTheShortDetectionTime(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		a.setRelaxed(addrA, addrB, true)
		time.Sleep(3 * time.Second)
		a.setRelaxed(addrA, addrB, false)
		time.Sleep(3 * time.Second)
		n.Cut(addrA, addrB, true)
		n.Cut(addrB, addrA, true)
		require.LessOrEqual(t, watch(t, a, false, time.Second), 410*time.Millisecond)
		require.LessOrEqual(t, watch(t, b, false, time.Second), 410*time.Millisecond)
	})
}

func TestASessionThatIsNoLongerRelaxedWaitsForTheFinalBit(t *testing.T) {
	simulate(t, func(t *testing.T, n *livenesstest.Network, a, b *agent) {
		n.SetHost(addrA, false)
		n.SetHost(addrB, false)
		b.setRelaxed(addrB, addrA, true) // a must not send faster
		time.Sleep(3 * time.Second)
		since := b.session(t).Since
		b.setRelaxed(addrB, addrA, false) // a does not receive the announcement
		n.Cut(addrB, addrA, true)
		time.Sleep(time.Second)
		n.Cut(addrB, addrA, false)
		time.Sleep(3 * time.Second)
		require.Equal(t, since, b.session(t).Since, "it was always up")
	})
}
