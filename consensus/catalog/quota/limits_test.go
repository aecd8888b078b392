package quota_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

func none() sponsor.Sponsors { return sponsor.Sponsors{} }

// numbered returns n names of datacenters.
func numbered(n int) []catalog.DatacenterName {
	var names []catalog.DatacenterName
	for i := range n {
		names = append(names, catalog.DatacenterName(fmt.Sprint("dc", i)))
	}
	return names
}

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
	before := gateways(2, "west")
	require.Nil(t, limits.Check(before, gateways(1, "east"), catalog.Settings{}, none))
	refusal := limits.Check(before, gateways(1, "east", "west"), catalog.Settings{}, none)
	require.NotNil(t, refusal)
	assert.Equal(t, catalog.CodeQuota, refusal.Code)
	assert.Equal(t, "gateways", refusal.Field)
	assert.Contains(t, refusal.Message, `"west" would have 3 of gateways`)

	before.Add(gateways(1, "west")) // more than the limit, by an earlier build
	change := quota.NewTally()
	change.Replace(&catalog.Gateway{Datacenter: "west"}, &catalog.Gateway{Datacenter: "west", Version: "v2"})
	assert.Nil(t, limits.Check(before, change, catalog.Settings{}, none))
}

// Those that a datacenter invents are no way to fill the memory of the others.
func TestDatacentersThatCountAsOneHaveABoundedMemoryTogether(t *testing.T) {
	const mib = 1 << 20
	limits := quota.DefaultLimits()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	invitedBy := func(by catalog.GatewayID) func() sponsor.Sponsors {
		var tokens []*catalog.Token
		for i := range 40 {
			tokens = append(tokens, &catalog.Token{CreatedBy: by, UsedBy: catalog.DatacenterName(fmt.Sprint("ghost", i)), UsedAt: now})
		}
		return func() sponsor.Sponsors {
			return sponsor.New(catalog.Federation{}, slices.Values([]*catalog.Datacenter{}), slices.Values(tokens), now)
		}
	}
	fill := func(sponsors func() sponsor.Sponsors) (bytes int, last *catalog.Refusal) {
		before := quota.NewTally()
		for _, dc := range []catalog.DatacenterName{"west", "ghost0", "ghost1", "ghost2", "ghost3"} {
			for {
				one := quota.NewTally()
				one.Replace(nil, &catalog.Export{ExportKey: catalog.ExportKey{Datacenter: dc}, Labels: map[string]string{"a": strings.Repeat("x", mib)}})
				if last = limits.Check(before, one, catalog.Settings{}, sponsors); last != nil {
					break
				}
				before.Add(one)
				bytes += mib
			}
		}
		return bytes, last
	}
	bytes, refusal := fill(invitedBy("north/gw0"))
	assert.InDelta(t, 3*limits.Memory, bytes, 20*mib, "west, and two limits for all that north has invited")
	assert.Equal(t, "memory", refusal.Field)
	assert.Contains(t, refusal.Message, "datacenters that datacenter north invited in the last week")
	bytes, _ = fill(invitedBy("west/gw0"))
	assert.InDelta(t, 3*limits.Memory, bytes, 20*mib, "the sponsor has its own limit")
	bytes, _ = fill(none)
	assert.InDelta(t, 5*limits.Memory, bytes, 8*mib)
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
