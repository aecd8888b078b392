package consensus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
)

// The pace at which an idle leader repeats itself is no bound on how late
// followers see a write.
func TestFollowersSeeAWriteAtOnceThoughNoOtherFollows(t *testing.T) {
	for _, timers := range []consensus.Timers{consensus.LAN(), consensus.WAN()} {
		t.Run(timers.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := consensustest.New(t, 4, consensustest.Options{Timers: timers})
				c.Network.Delay(time.Millisecond)
				key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
				for i := range 20 {
					time.Sleep(1234 * time.Millisecond)
					began := time.Now()
					index := write(t, c.Leader(), key, fmt.Sprint(i)).Index
					for _, m := range c.Members {
						awaitIndex(m.Node, index)
					}
					require.Less(t, time.Since(began), 20*time.Millisecond)
				}
			})
		})
	}
}

func awaitIndex(n *consensus.Node, index uint64) {
	for {
		changed := n.Changed()
		if n.View().Index() >= index {
			return
		}
		<-changed
	}
}

func TestABurstOfWritesIsAnnouncedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		c.Network.Delay(time.Millisecond)
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		before := c.Leader().Node.Status().CommitIndex
		for i := range 100 {
			write(t, c.Leader(), key, fmt.Sprint(i))
		}
		time.Sleep(time.Minute)
		assert.Equal(t, before+101, c.Leader().Node.Status().CommitIndex, "entries of the log")
	})
}

func TestAMemberAloneAnnouncesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 1, consensustest.Options{})
		m := c.Members[0]
		before := m.Node.Status().CommitIndex
		_, err := m.Node.Propose(context.Background(), consensustest.Key{Owner: m.ID, Name: "web"}.Set("x"))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.Equal(t, before+1, m.Node.Status().CommitIndex, "entries of the log")
	})
}
