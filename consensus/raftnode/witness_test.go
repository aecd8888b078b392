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

// markWitness makes a member a witness. Its datacenter loses its prefixes.
func markWitness(t *testing.T, through, m *consensustest.Member) {
	t.Helper()
	dc, _ := through.Node.View().Datacenter(m.ID.Datacenter())
	g, _ := through.Node.View().Gateway(m.ID)
	dc.Prefixes, g.Witness = nil, true
	for _, cmd := range []consensustest.Command{catalog.NewUpdateDatacenter(dc), catalog.NewUpdateGateway(g)} {
		cmd.Author = string(m.ID)
		results, err := through.Node.Propose(context.Background(), cmd)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
}

// withWitness returns a federation of two datacenters with two gateways each, and a
// witness.
func withWitness(t *testing.T) (c *consensustest.Cluster, witness *consensustest.Member) {
	t.Helper()
	c = consensustest.New(t, 5, consensustest.Options{PerDatacenter: 2})
	upgrade(t, c)
	witness = c.Members[4]
	require.Equal(t, consensustest.DatacenterName(2), witness.ID.Datacenter())
	markWitness(t, c.Leader(), witness)
	c.WaitEqual()
	return c, witness
}

// isWritten requires that a command for the owner is acknowledged within the time of an
// election.
func isWritten(t *testing.T, through, owner *consensustest.Member, value string) {
	t.Helper()
	key := consensustest.Key{Owner: owner.ID, Name: "r"}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	results, err := through.Node.Propose(ctx, key.Set(value))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
}

func TestTheCatalogSurvivesTheLossOfEitherDatacenterWithAWitness(t *testing.T) {
	for lost := range 3 {
		name := consensustest.DatacenterName(lost)
		t.Run(string(name), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, witness := withWitness(t)
				var rest []*consensustest.Member
				for _, m := range c.Members {
					if m.ID.Datacenter() == name {
						m.Kill()
					} else {
						rest = append(rest, m)
					}
				}
				for _, m := range rest {
					if m != witness {
						isWritten(t, m, m, string(m.ID))
					}
				}
				c.WaitEqual()
				c.Until("a leader that is no witness", func() bool { return c.LeaderOf(rest...) != witness })
			})
		})
	}
}

func TestAWitnessThatIsElectedHandsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		upgrade(t, c)
		first := c.Leader()
		witness, other := others(c, first)[0], others(c, first)[1]
		markWitness(t, first, witness)
		c.WaitEqual()
		// With entries that the other one does not have, only the witness can be elected.
		c.Network.Isolate(other.ID)
		for range 3 {
			isWritten(t, first, first, time.Now().String())
		}
		require.Less(t, other.Node.Status().AppliedIndex, first.Node.Status().AppliedIndex)
		first.Kill()
		c.Network.Rejoin(other.ID)
		c.Network.Isolate(first.ID)
		c.Until("the other one leads", func() bool { return c.LeaderOf(witness, other) == other })
		term := other.Node.Status().Term
		isWritten(t, other, other, "after")
		c.WaitEqual()
		first.Restart()
		time.Sleep(time.Minute)
		assert.Equal(t, term, other.Node.Status().Term, "leadership stays")
		assert.True(t, leads(other))

		err := other.Node.TransferLeader(context.Background(), witness.ID)
		require.ErrorIs(t, err, consensus.ErrRejected)
		assert.ErrorContains(t, err, "is a witness")
		require.NoError(t, other.Node.TransferLeader(context.Background(), ""))
		c.Until("the first one leads", func() bool { return c.Leader() == first })
	})
}

func TestAWitnessLeadsWhileNoOtherVoterCan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 2, consensustest.Options{})
		upgrade(t, c)
		witness, other := c.Members[0], c.Members[1]
		require.Equal(t, []catalog.GatewayID{witness.ID}, voters(t, witness), "it has founded the federation")
		other.Stop()
		markWitness(t, witness, witness)
		time.Sleep(time.Minute)
		isWritten(t, witness, other, "alone")
		other.Restart()
		c.Until("the datacenter leads", func() bool { return c.Leader() == other })
		c.Until("the witness has no vote", func() bool { return slices.Equal(voters(t, other), []catalog.GatewayID{other.ID}) })
		isWritten(t, other, other, "both")
	})
}
