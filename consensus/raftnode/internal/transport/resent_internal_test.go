package transport

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// entriesOf returns entries of 1 MiB each.
func entriesOf(first, last uint64) []*raft.Log {
	var entries []*raft.Log
	data := make([]byte, 1<<20)
	for index := first; index <= last; index++ {
		entries = append(entries, &raft.Log{Index: index, Term: 7, Data: data})
	}
	return entries
}

func TestAMemberWithoutAVoteIsSentTheSameAgainAtABoundedRate(t *testing.T) {
	var r resent
	now := time.Now()
	for index := uint64(1); index <= 2000; index++ {
		require.NoError(t, r.take("b/0", entriesOf(index, index), 0, now), "new entries have no limit")
	}
	times := 0
	for r.take("b/0", entriesOf(1, 16), 0, now) == nil {
		times++
		require.Less(t, times, 100)
	}
	assert.Equal(t, maxResent>>24, times)
	require.Error(t, r.take("b/0", nil, 1<<20, now), "a snapshot counts, too")
	require.NoError(t, r.take("b/0", entriesOf(2001, 2001), 0, now), "a new entry does not")
	require.NoError(t, r.take("c/0", nil, 1<<20, now), "each member has its own")
	require.NoError(t, r.take("d/0", nil, 2*maxResent, now), "a snapshot that is larger is sent once")
	require.Error(t, r.take("d/0", nil, 1, now))
	require.NoError(t, r.take("b/0", entriesOf(1, 16), 0, now.Add(16*time.Second)))
	require.Error(t, r.take("b/0", entriesOf(1, 1), 0, now.Add(16*time.Second)))
}

func TestASnapshotIsSentAgainAndAgainToVotersOnly(t *testing.T) {
	for to, limited := range map[string]bool{"b/0": true, "b/1": false} {
		t.Run(to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				p.knowledge.Configuration = configuration("a/1", to)
				require.NoError(t, p.client.resent.take(catalog.GatewayID(to), nil, maxResent, time.Now()))
				if !limited { // otherwise nothing arrives
					p.answer(&raft.InstallSnapshotResponse{Term: 7, Success: true}, nil)
				}
				err := p.client.InstallSnapshot(raft.ServerID(to), raft.ServerAddress(to), &raft.InstallSnapshotRequest{
					RPCHeader: headerOf("a/1"), Term: 7, Size: 1, Configuration: raft.EncodeConfiguration(configuration("a/1", to)),
				}, new(raft.InstallSnapshotResponse), bytes.NewReader([]byte{1}))
				if limited {
					require.ErrorContains(t, err, "has no vote, and was sent more than 536870912 bytes again")
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}
