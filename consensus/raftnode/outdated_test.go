package raftnode_test

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
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
