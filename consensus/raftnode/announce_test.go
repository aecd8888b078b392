package raftnode_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Followers do not wait for the next message of an idle leader.
func TestFollowersApplyAWriteAtOnceWhenNoOtherFollows(t *testing.T) {
	for _, timers := range []raftnode.Timers{raftnode.LAN(), raftnode.WAN()} {
		t.Run(timers.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := consensustest.New(t, 4, consensustest.Options{Timers: timers, ProposeTimeout: time.Minute})
				c.Network.Delay(time.Millisecond)
				key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
				for i := range 20 {
					time.Sleep(1234 * time.Millisecond)
					began := time.Now()
					index := write(t, c.Leader(), key, fmt.Sprint(i)).Index
					for _, m := range c.Members {
						awaitIndex(m.Node, index)
					}
					require.Less(t, time.Since(began), 10*time.Millisecond, "a message takes 1 ms")
				}
			})
		})
	}
}

// The entries that the old leader committed without announcing it are committed
// again by the first entry of the new leader.
func TestFollowersApplyTheLastWriteOfAKilledLeaderWhenTheNextLeads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{Timers: raftnode.WAN(), ProposeTimeout: time.Minute})
		c.Network.Delay(time.Millisecond)
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		for i := range 20 {
			leader := c.Leader()
			index := write(t, leader, key, fmt.Sprint(i)).Index
			leader.Kill()
			rest := others(c, leader)
			c.LeaderOf(rest...)
			began := time.Now()
			for _, m := range rest {
				awaitIndex(m.Node, index)
			}
			require.Less(t, time.Since(began), 50*time.Millisecond)
			leader.Restart()
			c.WaitVoters(3)
			c.WaitEqual()
		}
	})
}

func awaitIndex(n *raftnode.Node, index uint64) {
	for {
		changed := n.Changed()
		if n.View().Index() >= index {
			return
		}
		<-changed
	}
}

func TestAnnouncementsAreNotWrittenToTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		c.Network.Delay(time.Millisecond)
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		before := c.Leader().Node.Status().CommitIndex
		for i := range 100 {
			write(t, c.Leader(), key, fmt.Sprint(i))
		}
		time.Sleep(time.Minute)
		assert.Equal(t, before+100, c.Leader().Node.Status().CommitIndex, "entries of the log")
	})
}

func TestASingleMemberAnnouncesNothing(t *testing.T) {
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

// The messages are most of what an idle federation costs: each one wakes two
// agents and two data planes.
func TestAnIdleLeaderSendsEachFollowerFewMessages(t *testing.T) {
	for _, limit := range []struct {
		timers raftnode.Timers
		second float64
	}{{raftnode.LAN(), 6}, {raftnode.WAN(), 3}} {
		t.Run(limit.timers.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := consensustest.New(t, 4, consensustest.Options{Timers: limit.timers, ProposeTimeout: time.Minute})
				time.Sleep(10 * time.Second)
				leader := c.Leader()
				before := make(map[catalog.GatewayID]int)
				for _, m := range others(c, leader) {
					before[m.ID] = c.Network.Sent(leader.ID, m.ID)
				}
				time.Sleep(time.Minute)
				for _, m := range others(c, leader) {
					assert.LessOrEqual(t, float64(c.Network.Sent(leader.ID, m.ID)-before[m.ID])/60, limit.second)
				}
			})
		})
	}
}

// A leader has a longer heartbeat timeout than a follower. A former leader must
// not wait longer for the next leader than the others.
func TestAFormerLeaderHasTheHeartbeatTimeoutOfAFollower(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		former := c.Leader()
		require.Greater(t, former.Node.HeartbeatTimeout(), raftnode.LAN().HeartbeatTimeout, "while it leads")
		require.NoError(t, former.Node.TransferLeader(context.Background(), ""))
		leader := c.LeaderOf(others(c, former)...)
		c.Until("the former leader to have the timeout of a follower", func() bool {
			return former.Node.HeartbeatTimeout() == raftnode.LAN().HeartbeatTimeout
		})
		leader.Kill()
		began := time.Now()
		write(t, former, consensustest.Key{Owner: former.ID, Name: "web"}, "after")
		require.Less(t, time.Since(began), 6*time.Second)
	})
}
