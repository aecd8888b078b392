package quota_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// settings returns settings with limits of services that datacenters have set.
func settings(t *testing.T, by map[catalog.DatacenterName]uint64) (s catalog.Settings) {
	t.Helper()
	for dc, most := range by {
		var r *catalog.Refusal
		s, r = quota.Set(s, dc, []catalog.Limit{{Resource: "services", Most: most}})
		require.Nil(t, r)
	}
	return s
}

func TestLimitOfADatacenterIsTheHighestThatAnotherOneHasSet(t *testing.T) {
	const standard = 10_000
	sponsors := sponsor.Sponsors{}.With("guest", "west", time.Now())
	type set = map[catalog.DatacenterName]uint64
	for name, c := range map[string]struct {
		set  set
		want int
	}{
		"none":             {nil, standard},
		"raised by one":    {set{"east": 20_000}, 20_000},
		"raised by two":    {set{"east": 20_000, "north": 30_000}, 30_000},
		"raised by itself": {set{"west": 20_000}, standard},
		"by both":          {set{"west": 30_000, "east": 20_000}, 20_000},
		"default again":    {set{"east": 0}, standard},
		"by one invited":   {set{"guest": 20_000}, standard},
		"by others, too":   {set{"guest": 30_000, "east": 20_000}, 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			limits := quota.DefaultLimits().Of(settings(t, c.set), sponsors, "west")
			assert.Equal(t, c.want, limits.Services)
			limits.Services = standard
			assert.Equal(t, quota.DefaultLimits(), limits, "the others are as they were")
		})
	}
}

// A member that lowered the limits of another one would keep it from registering services.
func TestNoDatacenterLowersTheLimitsOfAnother(t *testing.T) {
	for _, listed := range quota.DefaultLimits().Settings(catalog.Settings{}, sponsor.Sponsors{}, "west") {
		for most, refused := range map[int]bool{1: true, listed.Default - 1: true, listed.Default: false} {
			_, r := quota.Set(catalog.Settings{}, "east", []catalog.Limit{{Resource: listed.Resource, Most: uint64(most)}})
			assert.Equal(t, refused, r != nil, "%d of %s", most, listed.Resource)
		}
	}
}

func TestEveryLimitThatIsListedIsSetAndBounded(t *testing.T) {
	for _, listed := range quota.DefaultLimits().Settings(catalog.Settings{}, sponsor.Sponsors{}, "west") {
		assert.Equal(t, listed.Default, listed.Most, listed.Resource)
		for most, refused := range map[int]bool{listed.Highest: false, listed.Highest + 1: true} {
			s, r := quota.Set(catalog.Settings{}, "east", []catalog.Limit{{Resource: listed.Resource, Most: uint64(most)}})
			if refused {
				require.NotNil(t, r, listed.Resource)
				assert.Equal(t, "limits[0].most", r.Field)
				assert.Contains(t, r.Remedy, fmt.Sprint(listed.Highest))
				assert.Empty(t, s.Limits)
				continue
			}
			require.Nil(t, r, listed.Resource)
			for _, after := range quota.DefaultLimits().Settings(s, sponsor.Sponsors{}, "west") {
				want, set := after.Default, 0
				if after.Resource == listed.Resource {
					want, set = listed.Highest, 1
				}
				assert.Equal(t, want, after.Most, after.Resource)
				assert.Len(t, after.Set, set)
			}
		}
	}
}

func TestLimitThatDoesNotExistIsRefused(t *testing.T) {
	for _, resource := range []string{"", "prefixes", "tokens", "clients", "observations", "unknown"} {
		_, r := quota.Set(catalog.Settings{}, "east", []catalog.Limit{{Resource: "services", Most: 20_000}, {Resource: resource, Most: 1}})
		require.NotNil(t, r, resource)
		assert.Equal(t, "limits[1].resource", r.Field)
	}
}

func TestNumberOfLimitsThatAreSetIsBounded(t *testing.T) {
	var s catalog.Settings
	var refusal *catalog.Refusal
	for i := 0; refusal == nil; i++ {
		require.Less(t, i, 5000)
		s, refusal = quota.Set(s, catalog.DatacenterName(fmt.Sprint("dc", i)), []catalog.Limit{{Resource: "services", Most: 20_000}})
	}
	assert.Equal(t, catalog.CodeQuota, refusal.Code)
	_, refusal = quota.Set(s, "dc0", []catalog.Limit{{Resource: "services"}})
	assert.Nil(t, refusal, "limits can be returned to the default")
}
