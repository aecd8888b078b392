package quota_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// fill lets a datacenter add exports until one is refused, and returns how many bytes it
// added.
func fill(t *quota.Tally, dc catalog.DatacenterName) (added int, refusal *catalog.Refusal) {
	const size = 64 << 10
	one := quota.NewTally()
	export := &catalog.Export{Annotations: map[string]string{"a": strings.Repeat("x", size)}}
	export.Datacenter = dc
	one.Replace(nil, export)
	for added < 2*quota.MaxContent {
		if refusal = quota.DefaultLimits().Check(*t, one, catalog.Settings{}, none); refusal == nil {
			refusal = quota.CheckContent(*t, one)
		}
		if refusal != nil {
			return added, refusal
		}
		t.Add(one)
		added += size
	}
	return added, nil
}

// TestDatacentersThatFillTheCatalogKeepNoOtherFromWriting has accomplices that add what they
// may, in any number of members.
func TestDatacentersThatFillTheCatalogKeepNoOtherFromWriting(t *testing.T) {
	for _, test := range []struct{ members, share int }{{2, 8 << 20}, {4, 8 << 20}, {16, 2 << 20}, {64, 512 << 10}} {
		members := numbered(test.members)
		tally, all := gateways(1, members...), 0
		for _, dc := range members[1:] {
			added, refusal := fill(&tally, dc)
			require.NotNil(t, refusal)
			all += added
		}
		added, refusal := fill(&tally, members[0])
		require.NotNil(t, refusal)
		assert.GreaterOrEqual(t, added, test.share*3/4, "the honest one of %d", test.members)
		assert.LessOrEqual(t, all+added, quota.MaxContent)
	}
}

// A share depends on the number of members, and those that came before may have a larger one.
func TestDatacentersThatJoinOneAfterAnotherDoNotExceedTheMemoryOfAll(t *testing.T) {
	tally, all := quota.NewTally(), 0
	for i := range 64 {
		dc := catalog.DatacenterName(fmt.Sprint("dc", i))
		tally.Add(gateways(1, dc))
		added, refusal := fill(&tally, dc)
		require.NotNil(t, refusal)
		all += added
	}
	assert.LessOrEqual(t, all, quota.MaxContent)
}

func TestResultsThatAClientDoesNotAcknowledgeCount(t *testing.T) {
	tally := gateways(1, "a", "b", "c", "d", "e", "f")
	for _, dc := range []catalog.DatacenterName{"b", "c", "d", "e", "a"} {
		_, refusal := fill(&tally, dc)
		require.NotNil(t, refusal)
	}
	client := func(n int) *catalog.Client {
		text := strings.Repeat("x", 700)
		return &catalog.Client{Author: "b/gw0", Results: slices.Repeat([]catalog.StoredResult{{Refusal: &catalog.Refusal{Message: text, Remedy: text}}}, n)}
	}
	few, many := quota.NewTally(), quota.NewTally()
	few.Replace(nil, client(1000))
	assert.Nil(t, quota.CheckContent(tally, few))
	many.Replace(nil, client(10_000))
	assert.NotNil(t, quota.CheckContent(tally, many))
}

func TestRecordsWithoutWhichAGatewayCannotWriteAreAddedToAFullCatalog(t *testing.T) {
	tally := gateways(1, "a", "b", "c", "d", "e", "f")
	for _, dc := range []catalog.DatacenterName{"b", "c", "d", "e", "a"} {
		_, refusal := fill(&tally, dc)
		require.NotNil(t, refusal)
	}
	_, refusal := fill(&tally, "a")
	require.NotNil(t, refusal)
	assert.Contains(t, refusal.Message, "the services, exports and slices of all datacenters would have")
	assert.Contains(t, refusal.Remedy, "of which b has most")
	more := quota.NewTally()
	more.Replace(nil, &catalog.Client{Author: "a/gw0"})
	more.Replace(nil, &catalog.Gateway{Datacenter: "a"})
	assert.Nil(t, quota.CheckContent(tally, more))
	fewer := quota.NewTally()
	export := &catalog.Export{Annotations: map[string]string{"a": "x"}}
	export.Datacenter = "a"
	fewer.Replace(export, nil)
	assert.Nil(t, quota.CheckContent(tally, fewer))
}
