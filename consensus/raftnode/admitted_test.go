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

// admit admits a member, of which no other has the address yet, and opens it with what
// the leader answers.
func admit(t *testing.T, c *consensustest.Cluster, leader *consensustest.Member) *consensustest.Member {
	t.Helper()
	m := c.Add(consensustest.DatacenterName(len(c.Members)), "gw0")
	c.Network.Isolate(m.ID)
	c.Admit(m)
	m.Open()
	then, err := leader.Node.Electorate()
	require.NoError(t, err)
	require.NoError(t, m.Node.Seed(leader.Node.View(), then))
	return m
}

// requireFollows requires that a member has the catalog within limit.
func requireFollows(t *testing.T, c *consensustest.Cluster, m *consensustest.Member, limit time.Duration) {
	t.Helper()
	start := time.Now()
	key := consensustest.Key{Owner: c.Members[0].ID, Name: "later"}
	write(t, c.Members[0], key, "x")
	for key.Get(m.Node.View()) != "x" {
		require.Less(t, time.Since(start), limit, "%s does not follow", m.ID)
		time.Sleep(100 * time.Millisecond)
	}
}

func TestAMemberThatHasJustJoinedFollowsNoMemberWithoutAVote(t *testing.T) {
	for _, kind := range []string{"AppendEntries", "RequestVote", "RequestPreVote", "TimeoutNow", "InstallSnapshot"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, leader, plain, _ := attacked(t)
				m := admit(t, c, leader)
				m.Start()
				c.Network.Restore(plain.ID, m.ID)
				c.Network.Restore(m.ID, plain.ID)
				f := newForger(t, c, plain.ID)
				term := leader.Node.Status().Term
				for range 30 {
					require.Error(t, f.Forgeries(term + 1)[kind](m.ID))
					time.Sleep(time.Second)
				}
				require.Empty(t, m.Node.Status().Leader)
				require.True(t, slices.ContainsFunc(m.Node.Status().Refused, func(r consensus.Refused) bool {
					return r.Gateway == plain.ID && r.Code == consensus.CodeNotAVoter && r.Count == 30
				}))
				c.Network.Rejoin(m.ID)
				requireFollows(t, c, m, 10*time.Second)
				require.Equal(t, term, leader.Node.Status().Term)
			})
		})
	}
}

func TestAMemberThatHasJustJoinedBelievesNoVoterAFarLaterTerm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, _ := attacked(t)
		voter := others(c, leader, plain)[0]
		m := admit(t, c, leader)
		m.Start()
		c.Network.Restore(voter.ID, m.ID)
		c.Network.Restore(m.ID, voter.ID)
		f := newForger(t, c, voter.ID)
		require.ErrorContains(t, f.Forgeries(leader.Node.Status().Term + 65)["AppendEntries"](m.ID), "no honest member is that far ahead")
		c.Network.Rejoin(m.ID)
		requireFollows(t, c, m, 10*time.Second)
	})
}

// The gateway that admits a member may be one of an earlier build, which reports no voters.
func TestAMemberThatEarlierBuildsAdmittedFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, _, _ := attacked(t)
		m := admit(t, c, leader)
		require.NoError(t, m.Node.Seed(leader.Node.View(), consensus.Electorate{Term: 1}))
		m.Start()
		c.Network.Rejoin(m.ID)
		requireFollows(t, c, m, 10*time.Second)
	})
}

func TestAMemberThatHasJustJoinedFollowsALeaderThatVotesSinceThen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, _ := attacked(t)
		m := admit(t, c, leader)
		c.Join(consensustest.DatacenterName(len(c.Members)), "gw0")
		c.WaitVoters(5)
		require.NoError(t, leader.Node.TransferLeader(context.Background(), plain.ID))
		require.Equal(t, plain, c.Leader())
		m.Start()
		c.Network.Rejoin(m.ID)
		requireFollows(t, c, m, 10*time.Second)
	})
}

func TestAMemberThatHasJustJoinedFollowsAlsoIfAllWhoVotedThenHaveLeft(t *testing.T) {
	for name, left := range map[string]consensus.Electorate{
		"others vote":                  {Term: 1, Voters: []consensus.Voter{{ID: "former/gw0"}}},
		"the term is far behind, too":  {Voters: []consensus.Voter{{ID: "former/gw0"}}},
		"only a member without a vote": {Term: 1, Voters: []consensus.Voter{{ID: catalog.NewGatewayID(consensustest.DatacenterName(3), "gw0")}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, leader, _, _ := attacked(t)
				m := admit(t, c, leader)
				require.NoError(t, m.Node.Seed(leader.Node.View(), left))
				m.Start()
				c.Network.Rejoin(m.ID)
				requireFollows(t, c, m, 10*time.Second)
			})
		})
	}
}

// The others do not answer the inquiry of a member either.
func TestAMemberThatHasJustJoinedFollowsAnyGatewayAfterTenMinutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, _, _ := attacked(t)
		for _, o := range c.Members {
			c.Network.Serve(o.ID, silent{o.Node})
		}
		m := admit(t, c, leader)
		require.NoError(t, m.Node.Seed(leader.Node.View(), consensus.Electorate{Term: 1, Voters: []consensus.Voter{{ID: "former/gw0"}}}))
		m.Start()
		c.Network.Rejoin(m.ID)
		time.Sleep(9 * time.Minute)
		assert.Empty(t, m.Node.Status().Leader)
		requireFollows(t, c, m, 2*time.Minute)
	})
}

// silent is a member that does not report the voters.
type silent struct{ consensustest.Server }

func (silent) Electorate() (consensus.Electorate, error) {
	return consensus.Electorate{}, consensus.ErrClosed
}
