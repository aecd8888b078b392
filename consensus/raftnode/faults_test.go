package raftnode_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// bubble runs a test in a synctest bubble: timeouts take no time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// seldom returns options for minutes of simulated time: the messages of an idle leader are
// most of the cost. An election takes longer than the default timeout of a write.
func seldom() consensustest.Options {
	return consensustest.Options{Timers: raftnode.WAN(), ProposeTimeout: time.Minute}
}

func write(t *testing.T, m *consensustest.Member, key consensustest.Key, value string) catalog.Result {
	t.Helper()
	results, err := m.Node.Propose(context.Background(), key.Set(value))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	return results[0]
}

func others(c *consensustest.Cluster, not ...*consensustest.Member) []*consensustest.Member {
	var rest []*consensustest.Member
next:
	for _, m := range c.Members {
		for _, n := range not {
			if m == n {
				continue next
			}
		}
		rest = append(rest, m)
	}
	return rest
}

func ids(members ...*consensustest.Member) []catalog.GatewayID {
	var out []catalog.GatewayID
	for _, m := range members {
		out = append(out, m.ID)
	}
	return out
}

func TestAKilledLeaderIsReplacedAndCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		leader := c.Leader()
		write(t, leader, key, "before")
		leader.Kill()
		rest := others(c, leader)
		write(t, rest[0], key, "after")
		leader.Restart()
		c.WaitEqual()
		require.Equal(t, "after", key.Get(leader.Node.View()))
	})
}

// The time is simulated. The limit is a heartbeat timeout and an election timeout,
// each up to twice its setting, and one more election timeout for a split vote.
func TestFailoverWithLANTimersTakesUnderSixSeconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		leader := c.Leader()
		leader.Kill()
		began := time.Now()
		write(t, others(c, leader)[0], key, "after")
		assert.Less(t, time.Since(began), 6*time.Second)
	})
}

func TestAStoppedLeaderHandsOverWithoutAnElection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		leader := c.Leader()
		leader.Stop()
		began := time.Now()
		write(t, others(c, leader)[0], key, "after")
		assert.Less(t, time.Since(began), 500*time.Millisecond)
	})
}

func TestNoAcknowledgedWriteIsLostOverAPartition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 5, consensustest.Options{ProposeTimeout: 3 * time.Second})
		leader := c.Leader()
		follower := others(c, leader)[0]
		minority, majority := []*consensustest.Member{leader, follower}, others(c, leader, follower)
		key := func(i int) consensustest.Key {
			return consensustest.Key{Owner: c.Members[0].ID, Name: fmt.Sprintf("web%d", i)}
		}
		write(t, leader, key(0), "0")
		c.Network.Partition(ids(minority...), ids(majority...))
		_, err := leader.Node.Propose(context.Background(), key(1).Set("1"))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		require.ErrorIs(t, err, consensus.ErrUncertain)
		c.LeaderOf(majority...)
		for i := 2; i < 10; i++ {
			write(t, majority[i%len(majority)], key(i), fmt.Sprint(i))
		}
		c.Network.Heal()
		c.WaitEqual()
		view, _, err := leader.Node.Read(context.Background(), consensus.ConsistentRead)
		require.NoError(t, err)
		assert.Equal(t, "0", key(0).Get(view))
		for i := 2; i < 10; i++ {
			assert.Equal(t, fmt.Sprint(i), key(i).Get(view))
		}
	})
}

func TestWithoutALeaderAWriteFailsAndAStaleReadWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{ProposeTimeout: 3 * time.Second})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		write(t, c.Members[0], key, "old")
		c.WaitEqual()
		left := others(c, c.Leader())[0]
		for _, m := range others(c, left) {
			m.Kill()
		}
		time.Sleep(5 * time.Second) // until the follower has no leader
		began := time.Now()
		_, err := left.Node.Propose(context.Background(), key.Set("new"))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		require.NotErrorIs(t, err, consensus.ErrUncertain, "nothing was sent")
		assert.InDelta(t, 3, time.Since(began).Seconds(), 0.1)
		for _, mode := range []consensus.ReadMode{consensus.LeaseRead, consensus.ConsistentRead} {
			_, _, err = left.Node.Read(context.Background(), mode)
			require.ErrorIs(t, err, consensus.ErrNoLeader)
		}
		view, fresh, err := left.Node.Read(context.Background(), consensus.StaleRead)
		require.NoError(t, err)
		assert.Equal(t, "old", key.Get(view))
		assert.Empty(t, fresh.Leader)
		assert.Greater(t, fresh.LastContact, 10*time.Second)
		assert.Equal(t, view.Index(), fresh.Index)
	})
}

func TestTheCallersContextEndsAWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		c.Members[1].Kill()
		c.Members[2].Kill()
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Members[0].Node.Propose(ctx, key.Set("x"))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))
	})
}

// The answer is lost, and then the leader is. The retry reaches the next leader
// and must not be applied a second time.
func TestARetryAfterALostAnswerIsAppliedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		proposer := others(c, leader)[0]
		create, join := consensustest.NewJoin(proposer.ID, consensustest.DatacenterName(7), "gw0")
		_, err := proposer.Node.Propose(context.Background(), create)
		require.NoError(t, err)

		c.Network.Cut(leader.ID, proposer.ID) // replication to the third goes on
		type outcome struct {
			results []catalog.Result
			err     error
		}
		done := make(chan outcome)
		go func() {
			results, err := proposer.Node.Propose(context.Background(), join)
			done <- outcome{results, err}
		}()
		time.Sleep(200 * time.Millisecond) // it is committed, and the answer is on its way
		_, committed := leader.Node.View().Datacenter(consensustest.DatacenterName(7))
		require.True(t, committed)
		leader.Kill()
		got := <-done
		require.NoError(t, got.err)
		require.Nil(t, got.results[0].Refusal, "a token that is used twice would be refused")
		require.Equal(t, consensustest.DatacenterName(7), got.results[0].Datacenter.Name)
	})
}

func TestAFollowerReadsItsOwnWriteOverASlowNetwork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		c.Network.Delay(40 * time.Millisecond)
		follower := others(c, c.Leader())[0]
		key := consensustest.Key{Owner: follower.ID, Name: "web"}
		for i := range 10 {
			result := write(t, follower, key, fmt.Sprint(i))
			require.Equal(t, fmt.Sprint(i), key.Get(follower.Node.View()))
			require.GreaterOrEqual(t, follower.Node.View().Index(), result.Index)
		}
	})
}

// A leader that is cut off from the other voters still reaches a non-voter, whose
// answer must not confirm a linearizable read.
func TestAConsistentReadIsNotConfirmedByNonVoters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		var nonvoter *consensustest.Member
		for _, p := range leader.Node.Status().Peers {
			for _, m := range c.Members {
				if p.ID == m.ID && !p.Voter {
					nonvoter = m
				}
			}
		}
		require.NotNil(t, nonvoter)
		c.Network.Partition(ids(leader, nonvoter), ids(others(c, leader, nonvoter)...))
		// The lease has not ended, and raft confirms.
		require.NoError(t, leader.Node.ConfirmByRaftAlone(), "if raft counts only voters now, leadership.confirm is not needed")
		_, err := leader.Node.ReadIndex(context.Background(), false)
		require.ErrorIs(t, err, consensus.ErrNotLeader)
	})
}

func TestALeaderThatIsCutOffStepsDownWithinTwoLeases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		c.Network.Isolate(leader.ID)
		time.Sleep(2 * raftnode.LAN().Lease)
		assert.NotEqual(t, "leader", leader.Node.Status().Role)
	})
}

func TestOneWayLossDoesNotLoseWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		follower := others(c, leader)[0]
		key := consensustest.Key{Owner: leader.ID, Name: "web"}
		c.Network.Cut(follower.ID, leader.ID)
		for i := range 5 {
			write(t, leader, key, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		c.Network.Heal()
		c.WaitEqual()
		require.Equal(t, "4", key.Get(follower.Node.View()))
	})
}

func TestTimersChangeWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		for _, m := range c.Members {
			require.NoError(t, m.Node.SetTimers(raftnode.WAN()))
		}
		for range 20 { // while the followers restart, then the leader
			began := time.Now()
			write(t, c.Members[1], key, "wan")
			assert.Less(t, time.Since(began), raftnode.WAN().HeartbeatTimeout, "the leader hands over, no election is needed")
			time.Sleep(100 * time.Millisecond)
		}
		for _, m := range c.Members {
			assert.Equal(t, "wan", m.Node.Status().Timers)
		}
		leader := c.Leader()
		c.Network.Isolate(leader.ID)
		time.Sleep(4 * time.Second)
		for _, m := range others(c, leader) {
			assert.Equal(t, "follower", m.Node.Status().Role, "WAN followers wait 5 s before they become candidates")
		}
		c.Network.Heal()
		bad := raftnode.WAN()
		bad.Lease = time.Hour
		require.Error(t, c.Members[0].Node.SetTimers(bad))
		assert.Equal(t, "wan", c.Members[0].Node.Status().Timers)
	})
}

func TestProposeOnAStoppedNodeFailsWithErrClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 1, consensustest.Options{})
		m := c.Members[0]
		m.Stop()
		_, err := m.Node.Propose(context.Background(), consensustest.Key{Owner: m.ID, Name: "web"}.Set("x"))
		require.ErrorIs(t, err, consensus.ErrClosed)
		require.Empty(t, m.Node.Status().Role)
		require.Empty(t, m.Node.Status().Peers)
		require.Error(t, m.Node.Run(context.Background()), "a node runs once")
	})
}
