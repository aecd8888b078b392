package sim

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestOperatorOfOneDatacenterRaisesTheLimitsOfTheOthers(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		set := func(g *gateway, limits ...*catalogpb.Limit) (map[string]*controlpb.ResourceLimit, error) {
			response, err := admin.Handler{Agent: g.agent}.SetLimits(t.Context(), connect.NewRequest(&controlpb.SetLimitsRequest{Limits: limits}))
			if err != nil {
				return nil, err
			}
			listed := make(map[string]*controlpb.ResourceLimit)
			for _, l := range response.Msg.GetLimits() {
				listed[l.GetResource()] = l
			}
			return listed, nil
		}
		listed, err := set(west, &catalogpb.Limit{Resource: "services", Most: 20_000})
		require.NoError(t, err)
		assert.EqualValues(t, 10_000, listed["services"].GetMost(), "not for itself")
		await(t, "east has the limit", func() bool {
			listed, err := set(east)
			return err == nil && listed["services"].GetMost() == 20_000 && listed["services"].GetSet()[0].GetSetBy() == "west"
		})
		var refusal *catalog.Refusal
		_, err = set(west, &catalogpb.Limit{Resource: "services", Most: 1})
		require.ErrorAs(t, err, &refusal, "none is lowered")
		assert.Equal(t, "limits[0].most", refusal.Field)
	})
}

func TestOperatorOfOneDatacenterAllowsRangesForTheOthers(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		allow := func(request *controlpb.AllowPrefixesRequest) ([]string, error) {
			response, err := admin.Handler{Agent: west.agent}.AllowPrefixes(t.Context(), connect.NewRequest(request))
			if err != nil {
				return nil, err
			}
			var ranges []string
			for _, a := range response.Msg.GetAllowed() {
				ranges = append(ranges, a.GetCidr()+" by "+a.GetAllowedBy())
			}
			return ranges, nil
		}
		ranges, err := allow(&controlpb.AllowPrefixesRequest{Cidrs: []string{"203.0.113.0/24"}})
		require.NoError(t, err)
		assert.Equal(t, []string{"203.0.113.0/24 by west"}, ranges)
		ranges, err = allow(&controlpb.AllowPrefixesRequest{Removed: []string{"203.0.113.0/24"}})
		require.NoError(t, err)
		assert.Empty(t, ranges)
	})
}
