package liveness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Unix(1000, 0)

func at(d time.Duration) time.Time { return epoch.Add(d) }

// received returns a packet that the peer sends in a state.
func received(state State, yours uint32) Control {
	return Control{State: state, DetectMult: 3, MyDiscriminator: 7, YourDiscriminator: yours, DesiredMinTxInterval: 100 * time.Millisecond, RequiredMinRxInterval: 100 * time.Millisecond}
}

func TestStateMachineMatchesRFC5880(t *testing.T) {
	for _, tt := range []struct{ have, received, want State }{
		{Down, AdminDown, Down},
		{Down, Down, Init},
		{Down, Init, Up},
		{Down, Up, Down},
		{Init, AdminDown, Down},
		{Init, Down, Init},
		{Init, Init, Up},
		{Init, Up, Up},
		{Up, AdminDown, Down},
		{Up, Down, Down},
		{Up, Init, Up},
		{Up, Up, Up},
	} {
		t.Run(tt.have.String()+" receives "+tt.received.String(), func(t *testing.T) {
			s := newSession(timing{100 * time.Millisecond, 3}, 5, epoch)
			s.state, s.remote.discr = tt.have, 7
			reply := s.receive(received(tt.received, 5), epoch)
			require.Equal(t, tt.want, s.state)
			require.Equal(t, tt.have != tt.want, reply, "a new state is sent at once")
		})
	}
}

func TestPacketForAnotherSessionIsIgnored(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 3}, 5, epoch)
	require.False(t, s.receive(received(Down, 6), epoch))
	require.Equal(t, Down, s.state)
	require.Zero(t, s.remote.discr)
}

func TestDetectionTimeUsesTheSlowerSide(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 5}, 5, epoch)
	p := received(Init, 5)
	p.DesiredMinTxInterval = 400 * time.Millisecond
	s.receive(p, epoch)
	require.Equal(t, Up, s.state)
	require.Equal(t, 1200*time.Millisecond, s.detectionTime())
	require.False(t, s.expire(at(1199*time.Millisecond)))
	require.True(t, s.expire(at(1200*time.Millisecond)))
	require.Equal(t, DetectionTimeExpired, s.diagnostic)
	require.Zero(t, s.remote.discr)
}

func TestTransmitIntervalHonoursRemoteMinRxInterval(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 5}, 5, epoch)
	p := received(Init, 5)
	p.RequiredMinRxInterval = time.Second
	s.receive(p, epoch)
	_, ok := s.due(epoch, 0)
	require.True(t, ok)
	require.Equal(t, at(750*time.Millisecond), s.nextTx)
	p.State, p.RequiredMinRxInterval = Up, 0
	s.receive(p, epoch)
	_, ok = s.due(at(time.Second), 0)
	require.False(t, ok, "RFC 5880 section 6.8.7: no periodic packets")
}

func TestJitterStaysWithinBounds(t *testing.T) {
	require.Equal(t, 75*time.Millisecond, jittered(100*time.Millisecond, 3, 0))
	require.InDelta(t, 100, jittered(100*time.Millisecond, 3, 0.9999).Milliseconds(), 1)
	require.InDelta(t, 90, jittered(100*time.Millisecond, 1, 0.9999).Milliseconds(), 1)
}

func TestPollSequenceContinuesUntilFinal(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 5}, 5, epoch)
	s.receive(received(Init, 5), epoch)
	require.True(t, s.packet().Poll, "the intervals change with the state")
	s.receive(received(Up, 5), epoch)
	require.True(t, s.packet().Poll)
	p := received(Up, 5)
	p.Final = true
	s.receive(p, epoch)
	require.False(t, s.packet().Poll)
	p = received(Up, 5)
	p.Poll = true
	require.True(t, s.receive(p, epoch), "a poll is answered at once")
}

func TestActivityNeverBringsASessionUp(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 5}, 5, epoch)
	s.receive(received(Down, 0), epoch)
	require.Equal(t, Init, s.state)
	s.noteActivity(at(290 * time.Millisecond))
	require.Equal(t, Init, s.state)
	require.True(t, s.expire(at(300*time.Millisecond)), "it does not extend state Init")
}

func TestOnlyARestartedPeerGetsGrace(t *testing.T) {
	s := newSession(timing{100 * time.Millisecond, 5}, 5, epoch)
	s.receive(received(Init, 5), epoch)
	s.receive(received(Down, 5), epoch)
	require.False(t, s.usable(epoch))

	s.receive(received(Init, 5), epoch)
	require.True(t, s.usable(epoch))
	restarted := received(Down, 0)
	restarted.MyDiscriminator = 8
	s.receive(restarted, epoch)
	require.Equal(t, Init, s.state)
	require.True(t, s.usable(at(299*time.Millisecond)))
	require.False(t, s.usable(at(300*time.Millisecond)), "grace is one detection time")
}
