package raftnode_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestEveryMemberHasTheAuthorOfEachCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		writer := c.Members[1]
		result := write(t, writer, consensustest.Key{Owner: writer.ID, Name: "web"}, "x")
		c.WaitEqual()
		for _, m := range c.Members {
			all, _, err := m.Node.Events(consensus.EventQuery{})
			require.NoError(t, err)
			require.NotEmpty(t, all)
			last := all[len(all)-1]
			assert.Equal(t, result.Index, last.Index)
			assert.Equal(t, writer.ID, last.Author)
			assert.Equal(t, "put-services", last.Kind)
			assert.Equal(t, "services: 1", last.Subject)
			assert.False(t, last.At.IsZero())
		}
		leader := c.Leader().Node
		own, _, err := leader.Events(consensus.EventQuery{Author: string(writer.ID.Datacenter())})
		require.NoError(t, err)
		for _, e := range own {
			assert.Equal(t, writer.ID, e.Author)
		}
		none, _, err := leader.Events(consensus.EventQuery{After: result.Index})
		require.NoError(t, err)
		assert.Empty(t, none)
		newest, _, err := leader.Events(consensus.EventQuery{Limit: 2})
		require.NoError(t, err)
		require.Len(t, newest, 2)
		assert.LessOrEqual(t, newest[0].Index, newest[1].Index)
	})
}

func TestTheEventsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		before, _, err := c.Members[0].Node.Events(consensus.EventQuery{})
		require.NoError(t, err)
		c.Members[0].Stop()
		c.Members[0].Restart()
		after, _, err := c.Members[0].Node.Events(consensus.EventQuery{Limit: consensus.MaxEvents})
		require.NoError(t, err)
		assert.Subset(t, after, before)
	})
}

func TestRefusedCommandsAreCountedByAuthorAndCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		author := c.Members[1]
		for range 3 {
			results, err := author.Node.Propose(context.Background(), consensustest.NewRemoval(author.ID, "nowhere", false))
			require.NoError(t, err)
			require.NotNil(t, results[0].Refusal)
		}
		refused := c.Leader().Node.Status().RefusedCommands
		require.Len(t, refused, 1)
		assert.Equal(t, author.ID, refused[0].Author)
		assert.Equal(t, "unknown-datacenter", refused[0].Code)
		assert.EqualValues(t, 3, refused[0].Count)
	})
}
