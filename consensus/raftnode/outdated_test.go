package raftnode_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// A leader sends a snapshot again if the answer was lost, or to a member that was removed
// and added again, from the loop that ends. Raft replaces the log by it, however old it
// is, loses what was acknowledged, and panics at the next commit.
func TestASnapshotOfThePastReplacesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		m := others(c, leader)[0]
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		past, index := leader.Node.View(), leader.Node.View().Index()
		var servers raft.Configuration
		for _, id := range voters(t, leader) {
			servers.Servers = append(servers.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		}
		for range 3 {
			write(t, leader, key, "after")
			c.WaitEqual()
			last := m.Node.LastLog()
			f := newForger(t, c, leader.ID)
			require.NoError(t, f.Snapshot(m.ID, leader.Node.Status().Term, index, servers, past), "the member has what is in it")
			require.Equal(t, last, m.Node.LastLog())
			write(t, leader, key, "later")
			c.WaitEqual()
			require.Equal(t, "later", key.Get(m.Node.View()))
			m.Stop()
			m.Restart()
			c.WaitEqual()
		}
	})
}

// Raft looks for the entry before those of a message in the log only. That is not where
// it is if a snapshot ends with it, and the entry after it is one that was never
// committed. The leader sends its snapshot then, which is outdated.
func TestAMemberWithAnEntryAfterASnapshotThatWasNeverCommittedCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		timers := raftnode.LAN()
		timers.SnapshotInterval, timers.TrailingLogs = time.Second, 1
		c := consensustest.New(t, 5, consensustest.Options{Timers: timers, SnapshotThreshold: 8})
		c.WaitVoters(5)
		leader := c.Leader()
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		m := others(c, leader)[0]
		m.Kill()
		for range 3 { // the last snapshot ends with the last entry
			time.Sleep(3 * time.Second)
			for i := range 10 {
				write(t, leader, key, fmt.Sprint(i))
			}
		}
		time.Sleep(3 * time.Second)
		m.Restart()
		c.WaitEqual()
		before := m.Node.LastLog()
		c.Network.Partition(ids(leader, m), ids(others(c, leader, m)...))
		_, err := leader.Node.Propose(context.Background(), key.Set("lost"))
		require.Error(t, err)
		require.Greater(t, m.Node.LastLog(), before)
		c.Network.Isolate(m.ID)
		write(t, c.LeaderOf(others(c, leader, m)...), key, "kept")
		c.Network.Heal()
		c.WaitEqual()
		require.Equal(t, "kept", key.Get(m.Node.View()))
	})
}
