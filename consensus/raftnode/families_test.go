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

const (
	onlyIPv4 = "192.0.2.1:7443"
	onlyIPv6 = "[2001:db8::1]:7443"
)

// advertise writes the control addresses of a member through a member that runs.
func advertise(t *testing.T, through, m *consensustest.Member, controls ...string) {
	t.Helper()
	g, ok := through.Node.View().Gateway(m.ID)
	require.True(t, ok)
	g.Endpoints, g.Controls = nil, controls
	cmd := catalog.NewUpdateGateway(g)
	cmd.Author = string(m.ID)
	results, err := through.Node.Propose(context.Background(), cmd)
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
}

func leads(m *consensustest.Member) bool { return m.Node.Status().Role == "leader" }

// separate cuts the links between the members of either family.
func separate(c *consensustest.Cluster, a, b *consensustest.Member) {
	c.Network.Cut(a.ID, b.ID)
	c.Network.Cut(b.ID, a.ID)
}

// threeFamilies returns a federation that a gateway with IPv4 only has founded, which one
// with both families has joined. One with IPv6 only is admitted and runs.
func threeFamilies(t *testing.T) (c *consensustest.Cluster, four, dual, six *consensustest.Member) {
	t.Helper()
	c = consensustest.New(t, 2, consensustest.Options{})
	four, dual = c.Members[0], c.Members[1]
	require.Equal(t, four, c.Leader())
	advertise(t, four, dual, onlyIPv4, onlyIPv6)
	return c, four, dual, addIPv6Only(t, c, four)
}

// addIPv6Only admits and starts a member that four does not reach.
func addIPv6Only(t *testing.T, c *consensustest.Cluster, four *consensustest.Member) *consensustest.Member {
	t.Helper()
	six := c.Add(consensustest.DatacenterName(2), "gw0")
	separate(c, four, six)
	c.Admit(six)
	advertise(t, four, six, onlyIPv6)
	six.Open()
	require.NoError(t, six.Node.Seed(four.Node.View(), consensus.Electorate{})) // of any member
	six.Start()
	return six
}

func TestLeadershipMovesToAVoterThatReachesAllMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, four, dual, six := threeFamilies(t)
		start := time.Now()
		c.Until("the member with both families to lead", func() bool { return leads(dual) })
		c.Until("the member with IPv6 only to have the leader", func() bool { return six.Node.Status().Leader == dual.ID })
		t.Logf("after %s", time.Since(start))
		for _, m := range []*consensustest.Member{four, six} {
			write(t, m, consensustest.Key{Owner: m.ID, Name: "web"}, "x")
		}
		c.WaitVoters(3)
		c.WaitEqual()
		term := dual.Node.Status().Term
		time.Sleep(time.Minute)
		assert.Equal(t, term, dual.Node.Status().Term, "leadership stays there")
	})
}

func TestLeaderIsNotTransferredToAMemberThatReachesFewer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, four, dual, six := threeFamilies(t)
		c.WaitVoters(3)
		require.Equal(t, dual, c.Leader())
		time.Sleep(10 * time.Second)
		for _, to := range []catalog.GatewayID{four.ID, six.ID, ""} {
			err := dual.Node.TransferLeader(context.Background(), to)
			require.ErrorIs(t, err, consensus.ErrRejected)
			require.ErrorContains(t, err, "no address family in common")
		}
	})
}

func TestLeadershipReturnsWhenTheMemberThatReachesAllIsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, four, dual, six := threeFamilies(t)
		c.WaitVoters(3)
		dual.Stop()
		time.Sleep(20 * time.Second)
		dual.Restart()
		c.Until("the member with both families to lead", func() bool { return leads(dual) })
		for _, m := range []*consensustest.Member{four, six} {
			c.Until(string(m.ID)+" to follow", func() bool { return m.Node.Status().Leader == dual.ID })
			write(t, m, consensustest.Key{Owner: m.ID, Name: "web"}, "y")
		}
	})
}

// The copy of a new member is that of the gateway that admits it; the log begins with
// configurations in which the present leader does not vote.
func TestNewMemberReceivesALongLogFromALeaderThatItsFirstEntriesDoNotName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 2, consensustest.Options{})
		four, dual := c.Members[0], c.Members[1]
		advertise(t, four, dual, onlyIPv4, onlyIPv6)
		for range 300 {
			write(t, dual, consensustest.Key{Owner: dual.ID, Name: "web"}, "x")
		}
		six := addIPv6Only(t, c, four)
		write(t, six, consensustest.Key{Owner: six.ID, Name: "web"}, "x")
		c.WaitEqual()
		assert.False(t, slices.ContainsFunc(six.Node.Status().Refused, func(r consensus.Refused) bool { return r.Gateway == dual.ID }))
	})
}

// A member may write records of any gateways of its own datacenter.
func TestAMemberWithoutAVoteDoesNotLeadForGatewaysThatItInvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 2, consensustest.Options{})
		leader, plain := c.Leader(), c.Members[1]
		require.Equal(t, c.Members[0], leader)
		advertise(t, leader, leader, onlyIPv4)
		advertise(t, leader, plain, onlyIPv4, onlyIPv6)
		invented := c.Add(plain.ID.Datacenter(), "gw1")
		c.Admit(invented)
		advertise(t, leader, invented, onlyIPv6)
		time.Sleep(2 * time.Minute)
		assert.True(t, leads(leader), "leadership stays")
		assert.Equal(t, []catalog.GatewayID{leader.ID}, voters(t, leader))
	})
}
