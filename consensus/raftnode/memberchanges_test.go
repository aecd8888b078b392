package raftnode_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/consensustest"
)

// enrol adds a gateway to the datacenter of m, and removes it again if remove is set.
func enrol(t *testing.T, m *consensustest.Member, gateway string, remove bool) *catalog.Refusal {
	t.Helper()
	dc, _ := m.Names()
	cmd := consensustest.NewAddGateway(m.ID, dc, gateway)
	if remove {
		cmd = catalog.NewRemoveGateway(catalog.NewGatewayID(dc, gateway))
	}
	results, err := m.Node.Propose(context.Background(), cmd)
	require.NoError(t, err)
	return results[0].Refusal
}

// Each enrolment and each removal of a gateway changes the configuration of raft.
func TestOneMemberEnrolsAndRemovesGatewaysOnlyAFewTimesAMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		time.Sleep(20 * time.Second) // it leads for long enough
		leader := c.Leader()
		hostile, honest := others(c, leader)[0], others(c, leader)[1]
		begin := time.Now()
		var refusal *catalog.Refusal
		made := 0
		for ; refusal == nil && made < 1000; made++ {
			refusal = enrol(t, hostile, "ghost", made%2 == 1)
		}
		require.NotNil(t, refusal, "no limit was reached")
		assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code)
		assert.Contains(t, refusal.Remedy, "wait 15s")
		most := budget.Members.Burst() + 1 + int(time.Since(begin)/budget.Members.Interval())
		assert.LessOrEqual(t, made-1, most)
		assert.GreaterOrEqual(t, made-1, budget.Members.Burst()-1, "its own admission is one")
		assert.Contains(t, leader.Node.Status().RefusedCommands,
			consensus.RefusedCommands{Author: hostile.ID, Code: consensus.CodeTooManyRequests, Count: 1})

		for i := range 8 { // as when a chart is installed
			require.Nil(t, enrol(t, honest, fmt.Sprint("gw", 10+i), false), "the budget of another datacenter")
			require.Nil(t, enrol(t, honest, fmt.Sprint("gw", 10+i), true))
		}
		require.NoError(t, leader.Node.TransferLeader(context.Background(), honest.ID))
		c.Until("the next leader", func() bool { return c.Leader() == honest })
		refusal = enrol(t, hostile, "another", false)
		require.NotNil(t, refusal, "the next leader counts from zero")
		assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code)

		time.Sleep(2 * budget.Members.Interval())
		require.Nil(t, enrol(t, hostile, "another", false))
		time.Sleep(2 * budget.Members.Interval())
		require.Nil(t, enrol(t, hostile, "another", true))
	})
}

// A member that starts again counts by its log.
func TestAMemberThatStartsAgainHasTheChangesOfMembersOfItsLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		hostile, next := others(c, leader)[0], others(c, leader)[1]
		for made := 0; enrol(t, hostile, "ghost", made%2 == 1) == nil; made++ {
			require.Less(t, made, 1000, "no limit was reached")
		}
		c.WaitEqual()
		next.Stop()
		next.Open()
		next.Start()
		c.WaitEqual()
		require.NoError(t, leader.Node.TransferLeader(context.Background(), next.ID))
		c.Until("the next leader", func() bool { return c.Leader() == next })
		refusal := enrol(t, hostile, "another", false)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code)
	})
}

// invite lets the gateway of m admit a datacenter that runs nowhere.
func invite(t *testing.T, m *consensustest.Member, dc catalog.DatacenterName) *catalog.Refusal {
	t.Helper()
	create, join := consensustest.NewJoin(m.ID, dc, "gw0")
	for _, cmd := range []consensustest.Command{create, join} {
		results, err := m.Node.Propose(context.Background(), cmd)
		require.NoError(t, err)
		if results[0].Refusal != nil {
			return results[0].Refusal
		}
	}
	return nil
}

// A hostile member that is a majority of datacenters, all of its own, could do what one
// alone cannot.
func TestOneMemberAdmitsOnlyAFewDatacentersInAWeek(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		founder, hostile, leader := c.Members[0], c.Members[1], c.Leader()
		next := others(c, leader, hostile)[0]
		guest := 10
		admit := func(by *consensustest.Member) (n int, refusal *catalog.Refusal) {
			for ; n < 30; n++ {
				guest++
				if refusal = invite(t, by, consensustest.DatacenterName(guest)); refusal != nil {
					return n, refusal
				}
			}
			return n, nil
		}
		made, refusal := admit(hostile)
		require.NotNil(t, refusal, "no limit was reached")
		assert.Equal(t, consensus.CodeTooManyRequests, refusal.Code)
		assert.Equal(t, "datacenter", refusal.Field)
		assert.Equal(t, budget.Admissions.Burst(), made)
		require.NoError(t, leader.Node.TransferLeader(context.Background(), next.ID))
		c.Until("the next leader", func() bool { return c.Leader() == next })
		for made := range 1000 { // it may enrol in a loop, and one that it invited enrols still
			if enrol(t, hostile, "ghost", made%2 == 1) != nil {
				break
			}
			require.Less(t, made, 999, "no limit was reached")
		}
		results, err := next.Node.Propose(context.Background(), consensustest.NewAddGateway("dc11/gw0", "dc11", "gw1"))
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
		assert.NotNil(t, invite(t, hostile, "dc9"), "the next leader counts from zero")
		made, _ = admit(founder)
		assert.Greater(t, made, budget.Admissions.Burst(), "it sets up the federation")
	})
}

// The datacenters that one invited confirm nothing for it.
func TestAMemberDoesNotConfirmItsOwnRequestByADatacenterThatItInvited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		time.Sleep(20 * time.Second) // it leads for long enough
		hostile := c.Members[1]      // the first guests of the founder count as their own
		rest := others(c, c.Leader(), hostile)
		victim, honest := rest[0], rest[1]
		require.Nil(t, invite(t, hostile, "dc9"))
		for _, by := range []catalog.GatewayID{hostile.ID, "dc9/gw0", hostile.ID, "dc9/gw0"} {
			cmd := consensustest.NewRemoval(by, victim.ID.Datacenter(), true)
			results, err := c.Leader().Node.Propose(context.Background(), cmd)
			require.NoError(t, err)
			require.NotNil(t, results[0].Refusal, "by %s", by)
			assert.Equal(t, consensus.CodeConfirmationNeeded, results[0].Refusal.Code)
		}
		require.Nil(t, remove(t, honest, victim, true), "another member confirms it")
		victim.Stop()
	})
}
