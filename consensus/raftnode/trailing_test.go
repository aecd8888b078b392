package raftnode_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Without the bound, the log would keep 10,240 entries before a snapshot.
func TestALowSnapshotThresholdKeepsTheLogShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		timers := raftnode.LAN()
		timers.SnapshotInterval = time.Second
		c := consensustest.New(t, 3, consensustest.Options{Timers: timers, SnapshotThreshold: 8})
		c.WaitVoters(3)
		leader := c.Leader()
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		lagging := others(c, leader)[0]
		lagging.Kill()
		for i := range 40 {
			write(t, leader, key, fmt.Sprint(i))
		}
		time.Sleep(3 * time.Second)
		require.Greater(t, leader.Node.FirstLog(), leader.Node.LastLog()-3*8)
		lagging.Restart()
		c.WaitEqual()
		require.Equal(t, "39", key.Get(lagging.Node.View()))
	})
}
