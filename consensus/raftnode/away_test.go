package raftnode_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

func memberOf(c *consensustest.Cluster, id catalog.GatewayID) *consensustest.Member {
	return c.Members[slices.IndexFunc(c.Members, func(m *consensustest.Member) bool { return m.ID == id })]
}

// leaveOneByOne removes datacenters as their operators do, one after the other.
func leaveOneByOne(t *testing.T, c *consensustest.Cluster, leavers ...*consensustest.Member) {
	t.Helper()
	for _, m := range leavers {
		require.NoError(t, m.Node.Abstain(context.Background()))
		_, err := m.Node.Submit(context.Background(), consensustest.NewLeave(m.ID))
		require.NoError(t, err)
		m.Stop()
		c.Until("raft to remove "+string(m.ID), func() bool {
			return !slices.ContainsFunc(c.Leader().Node.Status().Peers, func(p consensus.Peer) bool { return p.ID == m.ID })
		})
	}
}

// In the configuration of a member that was away, none of the present voters votes.
// With the former ones gone, only the reports of the others contain them.
func TestAMemberWhoseKnownVotersHaveAllLeftComesBack(t *testing.T) {
	for name, members := range map[string]int{"most datacenters stay": 13, "most datacenters leave": 7} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := consensustest.New(t, members, consensustest.Options{})
				known := voters(t, c.Leader())
				away := c.Members[slices.IndexFunc(c.Members, func(m *consensustest.Member) bool { return !slices.Contains(known, m.ID) })]
				away.Kill()
				for _, id := range known {
					leaveOneByOne(t, c, memberOf(c, id))
				}
				leader := c.Leader()
				require.NotContains(t, known, leader.ID, "it leads a configuration that the member does not know")
				key := consensustest.Key{Owner: leader.ID, Name: "web"}
				write(t, leader, key, "while it was away")
				away.Restart()
				c.Until("the member to catch up", func() bool { return key.Get(away.Node.View()) == "while it was away" })
				c.WaitEqual()
			})
		})
	}
}

// One known voter suffices, and the vote of the member that was away is needed.
func TestAVoterThatWasAwayIsNotLeftOutWhenItsVoteIsNeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 5, consensustest.Options{PerDatacenter: 1})
		c.WaitVoters(5)
		leader := c.Leader()
		rest := others(c, leader)
		away, leaver := rest[0], rest[1]
		away.Kill()
		joining := c.Join(consensustest.DatacenterName(5), "gw0")
		leaveOneByOne(t, c, leaver)
		c.Until("the new member to have a vote", func() bool { return slices.Contains(voters(t, c.Leader()), joining.ID) })
		c.Until("the new member to lead", func() bool {
			return c.Leader() == joining || c.Leader().Node.TransferLeader(context.Background(), joining.ID) == nil && c.Leader() == joining
		})
		away.Restart()
		key := consensustest.Key{Owner: joining.ID, Name: "web"}
		write(t, joining, key, "x")
		c.Until("the member to catch up", func() bool { return key.Get(away.Node.View()) == "x" })
		for _, m := range others(c, joining, away) {
			if m.Running() {
				m.Kill()
				break
			}
		}
		time.Sleep(20 * time.Second)
		write(t, away, consensustest.Key{Owner: away.ID, Name: "web"}, "y")
	})
}
