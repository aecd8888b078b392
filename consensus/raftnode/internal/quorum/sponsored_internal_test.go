package quorum

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// invitations are datacenters with their sponsors; empty: none.
type invitations map[catalog.DatacenterName]catalog.DatacenterName

func (i invitations) Settings() catalog.Settings { return catalog.Settings{} }

func (i invitations) Datacenters() (list []catalog.Datacenter) {
	for name := range i {
		list = append(list, catalog.Datacenter{Name: name})
	}
	return list
}

func (i invitations) Sponsors(now time.Time) (s sponsor.Sponsors) {
	for name, by := range i {
		if by != "" {
			s = s.With(name, by, now)
		}
	}
	return s
}

func sponsored() (now time.Time, have invitations) {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), invitations{"east": "", "west": "", "guest": "east", "other": "east", "ghost": "west"}
}

func TestADatacenterIsRemovedWithoutConfirmationOnlyByItsSponsorAndInAFederationOfTwo(t *testing.T) {
	now, have := sponsored()
	for name, c := range map[string]struct {
		have   invitations
		by, of catalog.DatacenterName
		needed bool
	}{
		"two":                          {invitations{"east": "", "west": ""}, "west", "east", false},
		"one of three":                 {invitations{"east": "", "west": "", "north": ""}, "west", "east", true},
		"its guest":                    {have, "east", "guest", false},
		"the guest of another one":     {have, "west", "guest", true},
		"a guest its sponsor":          {have, "guest", "east", true},
		"a guest another one of it":    {have, "guest", "other", true},
		"one that has invited another": {invitations{"east": "", "west": "", "ghost": "west"}, "west", "east", true},
		"one whose guest is the third": {invitations{"east": "", "west": "", "ghost": "west"}, "east", "west", true},
	} {
		assert.Equal(t, c.needed, NeedsConfirmation(c.have, c.by, c.of, now), name)
	}
}

func TestOnlyAnIndependentDatacenterConfirmsARemoval(t *testing.T) {
	now, have := sponsored()
	for name, c := range map[string]struct {
		first, second catalog.DatacenterName
		confirmed     bool
	}{
		"the same":                 {"west", "west", false},
		"its guest":                {"west", "ghost", false},
		"its sponsor":              {"ghost", "west", false},
		"two guests of one":        {"guest", "other", false},
		"two":                      {"west", "east", true},
		"a guest of another one":   {"west", "guest", true},
		"guests of different ones": {"ghost", "guest", true},
	} {
		var r Requests
		require.False(t, r.Confirmed(c.first, "north", have, now), name)
		assert.Equal(t, c.confirmed, r.Confirmed(c.second, "north", have, now), name)
	}
}

// A sponsored datacenter must not prevent its removal by the sponsor, and datacenters that
// a member invents must not multiply what it may request.
func TestSponsoredDatacentersUseUpTogetherWhatOneMayRequestAndNothingOfOthers(t *testing.T) {
	now, have := sponsored()
	for i := range 16 {
		have[catalog.DatacenterName(fmt.Sprint("ghost", i))] = "west"
	}
	var r Requests
	operations := 0
	for dc, by := range have {
		for by == "west" && r.Operation("north/gw", have, consensus.LeaderOperation{From: catalog.NewGatewayID(dc, "gw")}, now) == nil {
			r.Spend(budget.Operations, dc, have, now)
			operations++
			require.Less(t, operations, 100)
		}
	}
	assert.Equal(t, budget.Operations.Burst(), operations)
	for i := range 16 { // what they used up stays when they leave
		delete(have, catalog.DatacenterName(fmt.Sprint("ghost", i)))
	}
	have["next"] = "west"
	require.Error(t, r.Operation("north/gw", have, consensus.LeaderOperation{From: "next/gw"}, now))
	for _, dc := range []catalog.DatacenterName{"west", "east", "guest"} {
		assert.NoError(t, r.Operation("north/gw", have, consensus.LeaderOperation{From: catalog.NewGatewayID(dc, "gw")}, now), dc)
	}
	for range 3 {
		require.Nil(t, r.Removal("guest", "west", have, now))
		r.Spend(budget.Removals, "guest", have, now)
	}
	assert.NotNil(t, r.Removal("other", "west", have, now), "the guests of east share theirs")
	assert.Nil(t, r.Removal("east", "guest", have, now))
}

func TestASponsoredDatacenterInvitesNone(t *testing.T) {
	now, have := sponsored()
	var r Requests
	for _, cmd := range []*catalogpb.Command{catalog.NewJoin(catalog.JoinRequest{}), catalog.NewCreateToken(catalog.Token{})} {
		cmd.Author = "ghost/gw"
		refusal := r.Members(cmd, have, now, now)
		require.NotNil(t, refusal)
		assert.Equal(t, consensus.CodeSponsored, refusal.Code)
		cmd.Author = "west/gw"
		assert.Nil(t, r.Members(cmd, have, now, now))
		cmd.Author = "ghost/gw"
		assert.Nil(t, r.Members(cmd, invitations{"east": "", "ghost": "west"}, now, now), "its sponsor has left")
	}
}
