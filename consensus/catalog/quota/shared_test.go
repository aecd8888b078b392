package quota_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// invite lets a datacenter create tokens until one is refused, and returns how many it
// created.
func invite(t *quota.Tally, dc catalog.DatacenterName) (created int, refusal *catalog.Refusal) {
	one := quota.NewTally()
	one.Replace(nil, &catalog.Token{CreatedBy: catalog.NewGatewayID(dc, "gw0")})
	for range quota.MaxTokens + 1 {
		if refusal = quota.DefaultLimits().Check(*t, one, catalog.Settings{}, none); refusal == nil {
			refusal = quota.CheckShared(*t, one)
		}
		if refusal != nil {
			return created, refusal
		}
		t.Add(one)
		created++
	}
	return created, nil
}

// TestDatacentersThatFillTheCatalogWithTokensKeepNoOtherFromInviting has accomplices that
// create all tokens that they may, in any number of members.
func TestDatacentersThatFillTheCatalogWithTokensKeepNoOtherFromInviting(t *testing.T) {
	for _, test := range []struct{ members, share int }{{2, 16}, {5, 16}, {32, 16}, {100, 5}, {500, 1}} {
		members := numbered(test.members)
		tally, all := gateways(1, members...), 0
		for _, dc := range members[1:] {
			created, refusal := invite(&tally, dc)
			require.NotNil(t, refusal)
			assert.GreaterOrEqual(t, created, test.share, "%s of %d", dc, test.members)
			all += created
		}
		created, refusal := invite(&tally, members[0])
		require.NotNil(t, refusal)
		assert.GreaterOrEqual(t, created, test.share, "the honest one of %d", test.members)
		assert.LessOrEqual(t, all+created, quota.MaxTokens)
	}
}

func TestTokenIsRefusedWithTheSharesOfBoth(t *testing.T) {
	tally := gateways(1, "west", "east", "north", "south")
	for _, dc := range []catalog.DatacenterName{"west", "east"} {
		created, refusal := invite(&tally, dc)
		assert.Equal(t, 256, created)
		assert.NotNil(t, refusal)
	}
	created, refusal := invite(&tally, "north")
	assert.Equal(t, 16, created)
	require.NotNil(t, refusal)
	assert.Equal(t, catalog.CodeTokenLimit, refusal.Code)
	assert.Equal(t, "the catalog holds 528 tokens, 16 of datacenter north; when it holds 512 or more, a datacenter may have 16", refusal.Message)
}

// With the clients that it has in its own name and in those of datacenters that it invited, one
// member would make results of the others forgotten: an old write that is retried would be
// applied again.
func TestDatacentersThatFillTheCatalogWithClientsReplaceNoneOfOthers(t *testing.T) {
	members := numbered(30)
	tally, all := gateways(2, members...), 0
	for _, dc := range members[1:] {
		one := quota.NewTally()
		one.Replace(nil, &catalog.Client{Author: catalog.NewGatewayID(dc, "gw0")})
		for range quota.MaxClients {
			if quota.DefaultLimits().Check(tally, one, catalog.Settings{}, none) != nil || quota.CheckShared(tally, one) != nil {
				break
			}
			tally.Add(one)
			all++
		}
	}
	honest := quota.NewTally()
	honest.Replace(nil, &catalog.Client{Author: "dc0/gw0"})
	for range 10 {
		require.Nil(t, quota.CheckShared(tally, honest))
		tally.Add(honest)
		all++
	}
	assert.Less(t, all, quota.MaxClients)
}

// The records of a datacenter that left are there for a day.
func TestDatacentersThatJoinAndLeaveReplaceNoClientsOfOthers(t *testing.T) {
	honest := []catalog.DatacenterName{"east", "west"}
	tally, all := gateways(2, honest...), 0
	fill := func(dc catalog.DatacenterName) (added int) {
		one := quota.NewTally()
		one.Replace(nil, &catalog.Client{Author: catalog.NewGatewayID(dc, "gw0")})
		for quota.DefaultLimits().Check(tally, one, catalog.Settings{}, none) == nil && quota.CheckShared(tally, one) == nil && added < quota.MaxClients {
			tally.Add(one)
			added++
		}
		all += added
		return added
	}
	fill("west")
	for i := range 20 {
		ghost := catalog.DatacenterName(fmt.Sprint("ghost", i))
		gateway := &catalog.Gateway{Datacenter: ghost}
		tally.Replace(nil, gateway)
		fill(ghost)
		tally.Replace(gateway, nil)
	}
	assert.Positive(t, fill("east"))
	assert.Less(t, all, quota.MaxClients)
}
