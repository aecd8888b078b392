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

// remove removes the datacenter of gone through the member by.
func remove(t *testing.T, by, gone *consensustest.Member, force bool) *catalog.Refusal {
	t.Helper()
	dc, _ := gone.Names()
	results, err := by.Node.Propose(context.Background(), consensustest.NewRemoval(by.ID, dc, force))
	require.NoError(t, err)
	return results[0].Refusal
}

func TestARemovedDatacenterLosesItsVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 4, consensustest.Options{})
		leader := c.Leader()
		var gone *consensustest.Member
		for _, m := range others(c, leader) {
			if votes := voters(t, leader); votes[0] == m.ID || votes[1] == m.ID {
				gone = m
			}
		}
		gone.Kill()
		by := others(c, leader, gone)[0]
		time.Sleep(20 * time.Second)
		refusal := remove(t, by, gone, false)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeDatacenterActive, refusal.Code)
		time.Sleep(time.Minute)
		require.Nil(t, remove(t, by, gone, false))
		c.Until("raft to remove it", func() bool {
			return len(leader.Node.Status().Peers) == 3
		})
		c.WaitVoters(3)
		write(t, by, consensustest.Key{Owner: by.ID, Name: "web"}, "x")
	})
}

func TestADatacenterWhoseVoteIsNeededIsNotRemovedEvenByForce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		dead, alive := others(c, leader)[0], others(c, leader)[1]
		dead.Kill()
		time.Sleep(2 * time.Minute)
		refusal := remove(t, leader, alive, true)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeVotesNeeded, refusal.Code)
		require.Nil(t, remove(t, leader, dead, false))
		write(t, alive, consensustest.Key{Owner: alive.ID, Name: "web"}, "x")
	})
}

func TestTheDatacenterOfTheLeaderIsNotRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		by := others(c, leader)[0]
		refusal := remove(t, by, leader, true)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeDatacenterLeads, refusal.Code)
		refusal = remove(t, leader, leader, true)
		require.NotNil(t, refusal)
		assert.Equal(t, catalog.CodeOwnDatacenter, refusal.Code)
	})
}
