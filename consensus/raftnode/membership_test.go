package raftnode_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

func voters(t *testing.T, m *consensustest.Member) []catalog.GatewayID {
	t.Helper()
	var out []catalog.GatewayID
	for _, p := range m.Node.Status().Peers {
		if p.Voter {
			out = append(out, p.ID)
		}
	}
	return out
}

func TestVotersAreSpreadOverDatacenters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 6, consensustest.Options{PerDatacenter: 2})
		seen := make(map[catalog.DatacenterName]int)
		for _, m := range c.Members {
			for _, id := range voters(t, c.Leader()) {
				if dc, _ := m.Names(); id == m.ID {
					seen[dc]++
				}
			}
		}
		require.Len(t, seen, 3, "5 voters in all 3 datacenters")
	})
}

func TestAVoterThatLeavesIsReplacedByANonVoter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		before := voters(t, leader)
		require.Len(t, before, 3)
		var leaver *consensustest.Member
		for _, m := range others(c, leader) {
			for _, id := range before {
				if id == m.ID {
					leaver = m
				}
			}
		}
		_, err := leaver.Node.Propose(context.Background(), consensustest.NewLeave(leaver.ID))
		require.NoError(t, err, "it does not wait for its local copy")
		leaver.Stop()
		c.WaitVoters(3)
		c.Until("the leaver to be removed", func() bool {
			return len(leader.Node.Status().Peers) == 3
		})
		require.NotContains(t, voters(t, leader), leaver.ID)
	})
}

func TestAnUnreachableVoterKeepsItsVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		before := voters(t, leader)
		for _, m := range others(c, leader) {
			if m.ID == before[1] || m.ID == before[2] && before[1] == leader.ID {
				m.Kill()
				break
			}
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, before, voters(t, leader))
		_, healthy := leader.Voters()
		assert.Equal(t, 2, healthy)
	})
}

func TestALeaderThatLeavesHandsOverFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		rest := others(c, leader)
		_, err := leader.Node.Propose(context.Background(), consensustest.NewLeave(leader.ID))
		require.NoError(t, err)
		next := c.LeaderOf(rest...)
		c.Until("the old leader to be removed", func() bool {
			return len(next.Node.Status().Peers) == 2
		})
		leader.Stop()
		write(t, rest[0], consensustest.Key{Owner: rest[0].ID, Name: "web"}, "x")
		c.WaitVoters(1) // of two members one votes
	})
}

func TestTheOnlyVoterIsReplacedBeforeItLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 2, consensustest.Options{})
		leader := c.Leader()
		successor := others(c, leader)[0]
		_, err := leader.Node.Propose(context.Background(), consensustest.NewLeave(leader.ID))
		require.NoError(t, err)
		c.Until("the successor to be the only member", func() bool {
			_, healthy := successor.Voters()
			return len(successor.Node.Status().Peers) == 1 && healthy == 1
		})
		leader.Stop()
		write(t, successor, consensustest.Key{Owner: successor.ID, Name: "web"}, "x")
	})
}

func TestARemovedMemberThatKeepsRunningDoesNotDisturbTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		leaver := others(c, leader)[0]
		c.Network.Isolate(leaver.ID) // it does not learn that it was removed
		results, err := leader.Node.Propose(context.Background(), consensustest.NewLeave(leaver.ID))
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
		c.Until("the removal", func() bool {
			return len(leader.Node.Status().Peers) == 3
		})
		c.Network.Heal()
		term := leader.Node.Status().Term
		time.Sleep(5 * time.Minute)
		assert.Equal(t, term, leader.Node.Status().Term)
		assert.Equal(t, "leader", leader.Node.Status().Role)
		assert.NotEqual(t, "leader", leaver.Node.Status().Role)
	})
}

func TestAGatewayThatLeftCanJoinAgainWithANewDirectory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		leaver := others(c, leader)[0]
		_, err := leaver.Node.Propose(context.Background(), consensustest.NewLeave(leaver.ID))
		require.NoError(t, err)
		c.Until("the removal", func() bool {
			return len(leader.Node.Status().Peers) == 2
		})
		leaver.Stop()
		leaver.Dir = consensustest.TempDir(t)
		dc, gateway := leaver.Names()
		create, join := consensustest.NewJoin(leader.ID, dc, gateway)
		results, err := leader.Node.Propose(context.Background(), create, join)
		require.NoError(t, err)
		require.Nil(t, results[1].Refusal)
		leaver.Open()
		leaver.Start()
		c.WaitVoters(3)
		c.WaitEqual()
	})
}

func TestLeadershipIsTransferredOnRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		target, caller := others(c, leader)[0], others(c, leader)[1]
		require.NoError(t, caller.Node.TransferLeader(context.Background(), target.ID))
		require.Equal(t, target.ID, c.Leader().ID)
		require.NoError(t, caller.Node.TransferLeader(context.Background(), ""))
		require.NotEqual(t, target.ID, c.Leader().ID)
		err := caller.Node.TransferLeader(context.Background(), "none/gw")
		require.ErrorIs(t, err, consensus.ErrRejected)
		require.ErrorContains(t, err, "none/gw is not a member")
	})
}

// Raft ends a transfer some time after the other member leads. A member that leads again
// before that refuses entries for a moment.
func TestALeaderServesThatTransferredLeadershipAMomentAgo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		for range 1000 {
			leader := c.Leader()
			require.NoError(t, leader.Node.TransferLeader(context.Background(), others(c, leader)[0].ID))
		}
		c.Leader()
	})
}

func TestRemovePeerRemovesOnlyDeadVotersAndKeepsAQuorum(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 5, consensustest.Options{})
		leader := c.Leader()
		rest := others(c, leader)
		rest[0].Kill()
		rest[1].Kill()
		time.Sleep(10 * time.Second)
		for _, alive := range []*consensustest.Member{leader, rest[2], rest[3]} {
			err := rest[2].Node.RemovePeer(context.Background(), alive.ID)
			require.ErrorIs(t, err, consensus.ErrRejected)
			require.ErrorContains(t, err, string(alive.ID)+" answers")
		}
		require.NoError(t, rest[2].Node.RemovePeer(context.Background(), rest[0].ID))
		require.NoError(t, rest[2].Node.RemovePeer(context.Background(), rest[1].ID))
		c.WaitVoters(3)
		rest[3].Kill()
		rest[2].Kill()
		time.Sleep(10 * time.Second)
		require.Error(t, leader.Node.RemovePeer(context.Background(), rest[3].ID), "one of two would remain")
		rest[2].Restart()
		c.LeaderOf(leader, rest[2])
		require.ErrorIs(t, rest[2].Node.RemovePeer(context.Background(), "none/gw"), consensus.ErrRejected)
	})
}
