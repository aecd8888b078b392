package raftnode_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestMembersElectALeaderAndShareWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[1].ID, Name: "web"}
		for _, m := range c.Members {
			results, err := m.Node.Propose(context.Background(), key.Set(string(m.ID)))
			require.NoError(t, err)
			require.Nil(t, results[0].Refusal)
			require.Equal(t, string(m.ID), key.Get(m.Node.View()), "the writer reads its own write")
			for _, reader := range c.Members {
				view, fresh, err := reader.Node.Read(context.Background(), consensus.ConsistentRead)
				require.NoError(t, err)
				require.Equal(t, string(m.ID), key.Get(view))
				require.NotEmpty(t, fresh.Leader)
			}
		}
	})
}
