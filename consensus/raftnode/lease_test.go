package raftnode_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

func TestALeaseReadIsServedOnlyWithinTheLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		c.Network.Isolate(leader.ID)
		_, err := leader.Node.ReadIndex(context.Background(), true)
		require.NoError(t, err, "the window in the documentation of consensus.LeaseRead")
		time.Sleep(2 * raftnode.LAN().Lease)
		_, err = leader.Node.ReadIndex(context.Background(), true)
		require.ErrorIs(t, err, consensus.ErrNotLeader)
	})
}

func TestALeaderThatWasPausedAnswersNoLeaseRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		leader, pause, c := pausableLeader(t)
		c.Network.Isolate(leader.ID)
		pause(8 * time.Second)
		require.Equal(t, "leader", leader.Node.Status().Role, "raft's timers have run")
		_, fresh, err := leader.Node.Read(context.Background(), consensus.StaleRead)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, fresh.LastContact, 8*time.Second)
		_, err = leader.Node.ReadIndex(context.Background(), true)
		require.ErrorIs(t, err, consensus.ErrNotLeader)
	})
}

func TestALeaderThatWasPausedAnswersWhenAQuorumConfirmsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		leader, pause, _ := pausableLeader(t)
		pause(8 * time.Second)
		_, err := leader.Node.ReadIndex(context.Background(), true)
		require.NoError(t, err)
	})
}

// The successor of a transfer needs no election timeout to pass.
func TestALeaderThatTransfersAnswersNoLeaseRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		successor := others(c, leader)[0]
		c.Network.Isolate(successor.ID)
		_, err := leader.Node.ReadIndex(context.Background(), true)
		require.NoError(t, err)
		require.Error(t, leader.Node.TransferLeader(context.Background(), successor.ID))
		c.Network.Isolate(leader.ID)
		_, err = leader.Node.ReadIndex(context.Background(), true)
		require.ErrorIs(t, err, consensus.ErrNotLeader)
	})
}

// pausableLeader returns the leader of a cluster, and a function that lets time
// pass for it that no timer has seen, as when a process was stopped.
func pausableLeader(t *testing.T) (leader *consensustest.Member, pause func(time.Duration), c *consensustest.Cluster) {
	t.Helper()
	began, paused := time.Now(), map[catalog.GatewayID]*atomic.Int64{}
	c = consensustest.New(t, 3, consensustest.Options{Host: func(id catalog.GatewayID) raftnode.Host {
		passed := &atomic.Int64{}
		paused[id] = passed
		return raftnode.Host{Elapsed: func() time.Duration { return time.Since(began) + time.Duration(passed.Load()) }}
	}})
	leader = c.Leader()
	return leader, func(d time.Duration) { paused[leader.ID].Add(int64(d)) }, c
}
