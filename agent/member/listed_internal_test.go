package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

func TestOneForeignDatacenterDoesNotMakeAGatewayDeleteItsCatalog(t *testing.T) {
	type answers = map[catalog.GatewayID]bool
	all := []catalog.GatewayID{"west/b", "east/a", "east/b", "north/a", "south/a"}
	tests := map[string]struct {
		contacts []catalog.GatewayID
		answers  answers
		recorded bool // the own datacenter has recorded the removal
		listed   bool
		unknown  *UndecidedError
	}{
		"no answer":                                       {contacts: all, unknown: &UndecidedError{Silent: []catalog.DatacenterName{"east", "north", "south"}}},
		"one foreign gateway denies":                      {contacts: all, answers: answers{"east/a": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/a"}, Silent: []catalog.DatacenterName{"north", "south"}}},
		"all gateways of one foreign one":                 {contacts: all, answers: answers{"east/a": false, "east/b": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/b"}, Silent: []catalog.DatacenterName{"north", "south"}}},
		"most other datacenters deny":                     {contacts: all, answers: answers{"east/a": false, "north/a": false}},
		"half of the other datacenters deny":              {contacts: append(all, "mars/a"), answers: answers{"east/a": false, "north/a": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/a", "north/a"}, Silent: []catalog.DatacenterName{"mars", "south"}}},
		"most confirm":                                    {contacts: all, answers: answers{"east/a": false, "north/a": true, "south/a": true}, listed: true},
		"a gateway of the own one denies":                 {contacts: all, answers: answers{"west/b": false, "east/a": true}},
		"a gateway of the own one confirms":               {contacts: all, answers: answers{"west/b": true, "east/a": false, "north/a": false}, listed: true},
		"the only other datacenter denies":                {contacts: all[1:3], answers: answers{"east/a": false, "east/b": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/b"}}},
		"the only other one, and the own record, deny":    {contacts: all[1:3], recorded: true, answers: answers{"east/a": false, "east/b": false}},
		"the own record alone":                            {contacts: all[1:3], recorded: true, unknown: &UndecidedError{Silent: []catalog.DatacenterName{"east"}}},
		"the own record, and the only other one confirms": {contacts: all[1:3], recorded: true, answers: answers{"east/a": true}, unknown: &UndecidedError{Confirmed: 1}},
		"one of three others, and the own record, deny":   {contacts: all, recorded: true, answers: answers{"east/a": false}},
		"one and those that it has just invited":          {contacts: append(all, "guest/a", "guest2/a"), answers: answers{"east/a": false, "guest/a": false, "guest2/a": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/a", "guest/a", "guest2/a"}, Silent: []catalog.DatacenterName{"north", "south"}}},
		"one that was just invited, for its inviter":      {contacts: []catalog.GatewayID{"east/a", "guest/a"}, answers: answers{"guest/a": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"guest/a"}, Silent: []catalog.DatacenterName{"east"}}},
		"both":                     {contacts: []catalog.GatewayID{"east/a", "guest/a"}, answers: answers{"guest/a": false, "east/a": false}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/a", "guest/a"}}},
		"both, and the own record": {contacts: []catalog.GatewayID{"east/a", "guest/a"}, recorded: true, answers: answers{"guest/a": false, "east/a": false}},
		"both confirm":             {contacts: []catalog.GatewayID{"east/a", "guest/a"}, answers: answers{"guest/a": true, "east/a": true}, listed: true},
		"one denies, one confirms, and the own record": {contacts: all, recorded: true, answers: answers{"east/a": false, "north/a": true}, unknown: &UndecidedError{Denied: []catalog.GatewayID{"east/a"}, Confirmed: 1, Silent: []catalog.DatacenterName{"south"}}},
	}
	guests := identity.DatacenterMembership{Contacts: []identity.Contact{
		{Gateway: "guest/a", Sponsor: "east", Until: time.Now().Add(time.Hour)},
		{Gateway: "guest2/a", Sponsor: "east", Until: time.Now().Add(time.Hour)},
		{Gateway: "north/a", Sponsor: "east", Until: time.Now().Add(-time.Hour)},
	}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			listed, err := judgeListings("west/a", test.recorded, test.contacts, countsAs(guests, time.Now()), test.answers)
			if test.unknown != nil {
				assert.Equal(t, test.unknown, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.listed, listed)
		})
	}
}

func TestOnlyAnotherGatewayOfTheDatacenterRecordsARemoval(t *testing.T) {
	for name, c := range map[string]struct {
		contacts []catalog.GatewayID
		want     bool
	}{
		"itself":                       {[]catalog.GatewayID{"west/a", "west/b", "east/a"}, false},
		"a sibling":                    {[]catalog.GatewayID{"west/b", "east/a"}, true},
		"no gateway of its datacenter": {[]catalog.GatewayID{"east/a"}, false},
	} {
		var shared identity.DatacenterMembership
		for _, id := range c.contacts {
			shared.Contacts = append(shared.Contacts, identity.Contact{Gateway: id})
		}
		assert.Equal(t, c.want, recordsRemoval(shared, "west/a"), name)
	}
}

func TestADatacenterIsRemovedOnlyIfMostOthersReportIt(t *testing.T) {
	others := []catalog.GatewayID{"east/a", "east/b", "north/a", "south/a"}
	none := sponsor.Sponsors{}
	assert.Empty(t, mostReport(others, []catalog.GatewayID{"east/a", "east/b"}, none))
	assert.Equal(t, []catalog.GatewayID{"east/a", "north/a"}, mostReport(others, []catalog.GatewayID{"north/a", "east/b", "east/a"}, none), "one of each, sorted")
	assert.Equal(t, []catalog.GatewayID{"east/a"}, mostReport(others[:2], []catalog.GatewayID{"east/a"}, none), "there is no other")
	assert.Empty(t, mostReport(others, nil, none))
	guests := none.With("north", "east", time.Now())
	assert.Empty(t, mostReport(append(others, "mars/a"), []catalog.GatewayID{"east/a", "north/a"}, guests), "two of four, one of which was invited by the other")
	assert.Empty(t, mostReport([]catalog.GatewayID{"east/a", "north/a"}, []catalog.GatewayID{"north/a"}, guests), "one does not report for its inviter")
	assert.NotEmpty(t, mostReport([]catalog.GatewayID{"east/a", "north/a"}, []catalog.GatewayID{"north/a", "east/a"}, guests))
	many := guests.With("mars", "east", time.Now()).With("moon", "east", time.Now())
	assert.Empty(t, mostReport(append(others, "mars/a", "moon/a"), []catalog.GatewayID{"east/a", "mars/a", "moon/a", "north/a"}, many), "one and those that it invited")
}
