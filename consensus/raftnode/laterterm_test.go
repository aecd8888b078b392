package raftnode_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
)

// raiseTerm restarts a member as if it had voted in elections of its own, which the
// others did not see.
func raiseTerm(t *testing.T, m *consensustest.Member, term uint64) {
	t.Helper()
	m.Stop()
	store, err := raftboltdb.NewBoltStore(filepath.Join(m.Dir, "raft.db"))
	require.NoError(t, err)
	require.NoError(t, store.SetUint64([]byte("CurrentTerm"), term))
	require.NoError(t, store.Close())
	m.Restart()
}

func TestAMemberThatLostItsVoteAfterAnElectionFollowsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, plain, _ := attacked(t)
		term := leader.Node.Status().Term + 5
		raiseTerm(t, plain, term)
		start := time.Now()
		c.Until("the member to follow a leader of a later term", func() bool {
			s := plain.Node.Status()
			return s.Leader != "" && s.Term > term
		})
		assert.Less(t, time.Since(start), time.Minute)
		write(t, plain, consensustest.Key{Owner: plain.ID, Name: "web"}, "x")
		c.WaitEqual()
	})
}

func TestMembersWithoutAVoteEndOneLeadershipInTenMinutesWhoeverLeads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 8, seldom())
		known := voters(t, c.Leader())
		plain := slices.DeleteFunc(slices.Clone(c.Members), func(m *consensustest.Member) bool { return slices.Contains(known, m.ID) })
		require.Len(t, plain, 3)
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		var last uint64
		for i := range 4 {
			leader := c.Leader()
			before := leader.Node.Status().Term
			last = before + 5
			if i%2 == 1 {
				last = before + 1
			}
			raiseTerm(t, plain[i%len(plain)], last)
			time.Sleep(20 * time.Second)
			after := c.Leader().Node.Status().Term
			if i == 0 {
				require.Greater(t, after, last, "the first is believed")
			} else {
				require.Equal(t, before, after, "leader %s", leader.ID)
			}
			require.NoError(t, c.Leader().Node.TransferLeader(context.Background(), ""))
			write(t, c.Leader(), key, "x")
		}
		time.Sleep(10 * time.Minute)
		c.WaitEqual()
		assert.Greater(t, c.Leader().Node.Status().Term, last, "the last one follows again")
	})
}
