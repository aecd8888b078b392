package control

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/internal/limit"
	"github.com/meshway/meshway/agent/identity"
)

func TestConnectionThatIsBeingClosedIsNotChosenAgain(t *testing.T) {
	s, all := newSessions(), []*trackedConn{}
	var next *session
	for range maxStreams + 2 { // two connections at the same time, before either has closed another
		s.added++
		c := &trackedConn{}
		next = &session{
			slot: new(limit.Slot), order: s.added,
			proof: proof{member: true, peer: identity.Peer{Datacenter: "west", Gateway: "gw1"}},
		}
		s.open[c], all = next, append(all, c)
	}
	for _, oldest := range all[:2] {
		require.Same(t, oldest, s.surplus(next))
	}
	assert.Nil(t, s.surplus(next))
	assert.Len(t, s.open, maxStreams)
}
