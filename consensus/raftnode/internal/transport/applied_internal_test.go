package transport

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
)

// Raft answers a former leader with its term. That is no attack: it may have been stopped
// while the others elected another one.
func TestAnEntryInThePlaceOfAnAppliedOneIsRefusedFromALeaderOfThisTermOrALaterOne(t *testing.T) {
	for _, test := range []struct {
		name           string
		own, applied   uint64
		replayed, term uint64
		refused        bool
	}{
		{"of this term", 7, 1, 0, 6, true},
		{"of a former leader", 8, 1, 0, 6, false},
		{"applied before raft began", 7, 0, 1, 6, true},
		{"not applied", 7, 0, 0, 6, false},
		{"the same entry", 7, 1, 0, 7, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				p.knowledge.Own, p.knowledge.Applied = test.own, test.applied
				p.stores["b/1"].term, p.stores["b/1"].replayed = test.term, test.replayed
				if test.refused {
					request := &raft.AppendEntriesRequest{RPCHeader: headerOf("a/1"), Term: 7, Entries: []*raft.Log{{Index: 1, Term: 7, Type: raft.LogNoop}}}
					require.ErrorContains(t, p.client.AppendEntries("b/1", "b/1", request, new(raft.AppendEntriesResponse)), "this member has applied it with term 6")
					require.Len(t, p.refused, 1)
					assert.Equal(t, consensus.CodeMalformed, p.refused[0].Code)
					return
				}
				require.NoError(t, p.answered("b/1", 1, &raft.AppendEntriesResponse{Term: 7, Success: true}))
				assert.Empty(t, p.refused)
			})
		})
	}
}
