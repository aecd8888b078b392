package raftnode_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestOneMemberCannotMoveLeadershipInALoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		upgrade(t, c)
		votes := voters(t, c.Leader())
		at := slices.IndexFunc(c.Members, func(m *consensustest.Member) bool { return !slices.Contains(votes, m.ID) })
		h := c.Members[at] // it never leads, as it could end its own leadership in any case
		remote := c.Network.Remote(h.ID)
		moved, leaders := 0, map[*consensustest.Member]bool{}
		for range 200 {
			at := c.Leader()
			err := remote.LeaderOperation(context.Background(), at.ID, consensus.LeaderOperation{Kind: consensus.TransferLeadership})
			if err == nil {
				moved++
				leaders[at] = true
			}
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, moved, 5, "for all leaders together: the minute is not over")
		assert.Greater(t, len(leaders), 1)
		c.WaitEqual()
		for _, m := range c.Members {
			events, _, err := m.Node.Events(consensus.EventQuery{Author: string(h.ID)})
			require.NoError(t, err)
			transfers := slices.DeleteFunc(events, func(e consensus.Event) bool { return e.Kind != "transfer-leader" })
			assert.GreaterOrEqual(t, len(transfers), moved, "every member has them in its log")
		}
		err := remote.LeaderOperation(context.Background(), c.Leader().ID, consensus.LeaderOperation{Kind: consensus.TransferLeadership})
		require.ErrorIs(t, err, consensus.ErrRejected)
		require.ErrorContains(t, err, "5 times")
		other := others(c, c.Leader(), h)[0]
		require.NoError(t, other.Node.TransferLeader(context.Background(), ""), "those of another datacenter are not limited by it")
		time.Sleep(2 * time.Minute)
		require.NoError(t, h.Node.TransferLeader(context.Background(), ""))
	})
}

// A drain is a part of going back to an older build, which could not read the record.
func TestALeaderThatStepsDownLeavesNoRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		upgrade(t, c)
		leader := c.Leader()
		require.NoError(t, leader.Node.StepDown(context.Background()))
		require.Eventually(t, func() bool { next := c.Leader(); return next != nil && next != leader }, time.Minute, time.Second)
		next := c.Leader()
		require.NoError(t, leader.Node.StepDown(context.Background()))
		assert.Equal(t, next, c.Leader(), "the leader is not changed by another member that steps down")
		c.WaitEqual()
		events, _, err := next.Node.Events(consensus.EventQuery{})
		require.NoError(t, err)
		assert.False(t, slices.ContainsFunc(events, func(e consensus.Event) bool { return e.Kind == "transfer-leader" }))
		require.NoError(t, next.Node.TransferLeader(context.Background(), leader.ID))
		events, _, err = next.Node.Events(consensus.EventQuery{})
		require.NoError(t, err)
		assert.True(t, slices.ContainsFunc(events, func(e consensus.Event) bool { return e.Kind == "transfer-leader" }))
	})
}

// upgrade gives the gateways the feature level of this build.
func upgrade(t *testing.T, c *consensustest.Cluster) {
	t.Helper()
	upgradeAll(t, c.Members)
	c.WaitEqual()
}

func upgradeAll(t *testing.T, members []*consensustest.Member) {
	t.Helper()
	for _, m := range members {
		g, ok := m.Node.View().Gateway(m.ID)
		require.True(t, ok)
		g.FeatureLevel = catalog.Level
		results, err := m.Node.Propose(context.Background(), catalog.NewUpdateGateway(g))
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
}

func TestOnlyTheLeaderRecordsItsOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		upgrade(t, c)
		for _, m := range c.Members {
			dc, _ := others(c, m)[0].Names()
			for _, forged := range []consensustest.Command{
				consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: c.Members[0].ID}),
				catalog.NewRequestRemoval(dc),
			} {
				forged.Author = string(m.ID)
				results, err := m.Node.Propose(context.Background(), forged)
				require.NoError(t, err)
				require.NotNil(t, results[0].Refusal)
				assert.Equal(t, catalog.CodeMalformed, results[0].Refusal.Code)
			}
		}
	})
}

func TestALiveDatacenterIsRemovedOnlyIfASecondMemberConfirms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, seldom())
		leader := c.Leader()
		rest := others(c, leader)
		victim, hostile, second := rest[0], rest[1], rest[2]
		time.Sleep(20 * time.Second)
		for range 3 {
			refusal := remove(t, hostile, victim, true)
			require.NotNil(t, refusal, "repeating the request confirms nothing")
			assert.Equal(t, consensus.CodeConfirmationNeeded, refusal.Code)
		}
		time.Sleep(11 * time.Minute)
		refusal := remove(t, second, victim, true)
		require.NotNil(t, refusal, "the first request is too old")
		require.Nil(t, remove(t, hostile, victim, true), "two members have requested it")
		victim.Stop()
		_, ok := leader.Node.View().Datacenter(victim.ID.Datacenter())
		require.False(t, ok)
	})
}

func TestAChangeOfTheLeaderKeepsTheFirstOfTwoRequestsToRemove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 5, seldom())
		upgrade(t, c)
		leader := c.Leader()
		rest := others(c, leader)
		victim, first, second, next := rest[0], rest[1], rest[2], rest[3]
		transfer := func(to *consensustest.Member) {
			require.NoError(t, leader.Node.TransferLeader(context.Background(), to.ID))
			c.Until("the next leader", func() bool { return c.Leader() == to })
			leader = to
			time.Sleep(20 * time.Second) // it leads for long enough to remove
		}
		time.Sleep(20 * time.Second)
		for range 3 {
			refusal := remove(t, first, victim, true)
			require.NotNil(t, refusal)
			require.Equal(t, consensus.CodeConfirmationNeeded, refusal.Code)
		}
		transfer(next)
		refusal := remove(t, first, victim, true)
		require.NotNil(t, refusal, "repeating the request at another leader confirms nothing")
		require.Equal(t, consensus.CodeConfirmationNeeded, refusal.Code)
		time.Sleep(11 * time.Minute)
		refusal = remove(t, second, victim, true)
		require.NotNil(t, refusal, "the first request is too old")
		transfer(first)
		require.Nil(t, remove(t, first, victim, true), "two members have requested it")
		victim.Stop()
		events, _, err := leader.Node.Events(consensus.EventQuery{Limit: consensus.MaxEvents})
		require.NoError(t, err)
		events = slices.DeleteFunc(events, func(e consensus.Event) bool { return e.Kind != "request-removal" })
		require.Len(t, events, 2, "a repeated request writes nothing")
		assert.Equal(t, first.ID, events[0].Author)
		assert.Equal(t, second.ID, events[1].Author)
		assert.Empty(t, leader.Node.View().Settings().Removals, "they end with the removal")
	})
}

// What needs a higher level is refused while one gateway states a low one. The removal of
// its datacenter needs none.
func TestALiveDatacenterThatHoldsBackAFeatureLevelIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		rest := others(c, leader)
		hostile, first, second := rest[0], rest[1], rest[2]
		upgradeAll(t, others(c, hostile))
		limits := func() *catalog.Refusal {
			results, err := first.Node.Propose(context.Background(), catalog.NewSetLimits([]catalog.Limit{{Resource: "services", Most: 20_000}}))
			require.NoError(t, err)
			return results[0].Refusal
		}
		refusal := limits()
		require.NotNil(t, refusal)
		require.Equal(t, catalog.CodeFeatureLevel, refusal.Code)
		require.Contains(t, refusal.Message, string(hostile.ID))
		require.Contains(t, refusal.Remedy, "meshctl datacenter remove "+string(hostile.ID.Datacenter())+" --force")
		time.Sleep(20 * time.Second)
		refusal = remove(t, first, hostile, true)
		require.NotNil(t, refusal)
		require.Equal(t, consensus.CodeConfirmationNeeded, refusal.Code)
		require.Nil(t, remove(t, second, hostile, true))
		hostile.Stop()
		require.Nil(t, limits())
	})
}

func TestTheOnlyOtherDatacenterConfirmsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 2, consensustest.Options{})
		time.Sleep(20 * time.Second)
		leader := c.Leader()
		victim := others(c, leader)[0]
		require.Nil(t, remove(t, leader, victim, true))
		victim.Stop()
	})
}

func TestOneMemberRemovesOnlyAFewDatacentersInTenMinutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 9, seldom())
		upgrade(t, c)
		leader := c.Leader()
		votes := voters(t, leader)
		var gone []*consensustest.Member
		var by *consensustest.Member
		for _, m := range others(c, leader) {
			switch {
			case !slices.Contains(votes, m.ID):
				m.Kill()
				gone = append(gone, m)
			case by == nil:
				by = m
			}
		}
		require.Len(t, gone, 4)
		time.Sleep(2 * time.Minute)
		for _, m := range gone[:3] {
			require.Nil(t, remove(t, by, m, false))
		}
		require.NoError(t, leader.Node.TransferLeader(context.Background(), ""))
		require.Eventually(t, func() bool { next := c.Leader(); return next != leader }, time.Minute, time.Second)
		time.Sleep(2 * time.Minute) // the next one has led for long enough to remove
		refusal := remove(t, by, gone[3], false)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code)
		time.Sleep(11 * time.Minute)
		require.Nil(t, remove(t, by, gone[3], false))
	})
}

// The catalog contains the hash of each token's secret, which all members can read.
func TestTheHashOfATokenIsNotEnoughToRedeemIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		inviter, hostile := c.Members[0], c.Members[1]
		joining := c.Add(consensustest.DatacenterName(7), "gw0")
		create, join := consensustest.NewJoin(inviter.ID, joining.ID.Datacenter(), "gw0")
		results, err := inviter.Node.Propose(context.Background(), create)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
		c.WaitEqual()
		join.Author = string(hostile.ID) // which the leader sets
		results, err = hostile.Node.Propose(context.Background(), join)
		require.NoError(t, err)
		require.NotNil(t, results[0].Refusal)
		assert.Equal(t, consensus.CodeNotTheInviter, results[0].Refusal.Code)
		join.Author = string(inviter.ID)
		results, err = inviter.Node.Propose(context.Background(), join)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal, "its secret was proved to the inviter")
	})
}
