package raftnode_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestAWriteThatMayHaveBeenSentIsUncertainWhenItsMemberEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{ProposeTimeout: time.Minute})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		leader := c.Leader()
		author := others(c, leader)[0]
		c.Network.Cut(leader.ID, author.ID) // the leader gets the write, its answer is lost
		outcome := make(chan error)
		go func() {
			_, err := author.Node.Propose(context.Background(), key.Set("sent"))
			outcome <- err
		}()
		time.Sleep(10 * time.Second)
		author.Kill()
		err := <-outcome
		require.ErrorIs(t, err, consensus.ErrClosed)
		require.ErrorIs(t, err, consensus.ErrUncertain)
		view, _, err := leader.Node.Read(context.Background(), consensus.ConsistentRead)
		require.NoError(t, err)
		require.Equal(t, "sent", key.Get(view), "it took effect")
	})
}
