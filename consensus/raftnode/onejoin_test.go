package raftnode_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestAHundredConcurrentJoinsWithOneTokenAdmitOneDatacenter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		inviter := others(c, c.Leader())[0] // forwards what it is sent
		create, first := consensustest.NewJoin(inviter.ID, consensustest.DatacenterName(100), "gw0")
		_, err := inviter.Node.Propose(context.Background(), create)
		require.NoError(t, err)
		before := len(inviter.Node.View().Datacenters())

		var joining sync.WaitGroup
		var admitted atomic.Int32
		for i := range 100 {
			_, join := consensustest.NewJoin(inviter.ID, consensustest.DatacenterName(101+i), "gw0")
			join.GetJoin().TokenId, join.GetJoin().SecretHash = first.GetJoin().GetTokenId(), first.GetJoin().GetSecretHash()
			joining.Go(func() {
				results, err := inviter.Node.Propose(context.Background(), join)
				if !assert.NoError(t, err) {
					return
				}
				if refusal := results[0].Refusal; refusal == nil {
					admitted.Add(1)
				} else {
					assert.Equal(t, catalog.CodeTokenUsed, refusal.Code, refusal.Message)
				}
			})
		}
		joining.Wait()
		assert.EqualValues(t, 1, admitted.Load())
		c.WaitEqual()
		for _, m := range c.Members {
			assert.Len(t, m.Node.View().Datacenters(), before+1, "%s", m.ID)
		}
	})
}
