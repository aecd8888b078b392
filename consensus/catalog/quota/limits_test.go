package quota_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// gateways returns the tally of n gateways of each datacenter.
func gateways(n int, of ...catalog.DatacenterName) quota.Tally {
	t := quota.NewTally()
	for _, dc := range of {
		for range n {
			t.Replace(nil, &catalog.Gateway{Datacenter: dc})
		}
	}
	return t
}

func TestChangeIsRefusedForTheDatacenterThatExceedsALimitOnly(t *testing.T) {
	limits := quota.DefaultLimits()
	limits.Gateways = 2
	of := func(catalog.DatacenterName) quota.Limits { return limits }
	before := gateways(2, "west")
	require.Nil(t, quota.Check(before, gateways(1, "east"), of))
	refusal := quota.Check(before, gateways(1, "east", "west"), of)
	require.NotNil(t, refusal)
	assert.Equal(t, catalog.CodeQuota, refusal.Code)
	assert.Equal(t, "gateways", refusal.Field)
	assert.Contains(t, refusal.Message, `"west" would have 3 of gateways`)

	before.Add(gateways(1, "west")) // more than the limit, by an earlier build
	change := quota.NewTally()
	change.Replace(&catalog.Gateway{Datacenter: "west"}, &catalog.Gateway{Datacenter: "west", Version: "v2"})
	assert.Nil(t, quota.Check(before, change, of))
}

func TestTallyCountsClientsOfAllDatacenters(t *testing.T) {
	tally := quota.NewTally()
	west, east := &catalog.Client{Author: "west/gw0"}, &catalog.Client{Author: "east/gw0"}
	tally.Replace(nil, west)
	tally.Replace(nil, east)
	copied := tally.Clone()
	tally.Replace(west, nil)
	assert.Equal(t, 1, tally.Clients())
	assert.Equal(t, 2, copied.Clients())
}
