package member

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestOneForeignDatacenterDoesNotMakeAGatewayDeleteItsCatalog(t *testing.T) {
	type answers = map[catalog.GatewayID]bool
	all := []catalog.GatewayID{"west/b", "east/a", "east/b", "north/a", "south/a"}
	tests := map[string]struct {
		contacts []catalog.GatewayID
		answers  answers
		listed   bool
		unknown  bool
	}{
		"no answer":                          {contacts: all, unknown: true},
		"one foreign gateway denies":         {contacts: all, answers: answers{"east/a": false}, unknown: true},
		"all gateways of one foreign one":    {contacts: all, answers: answers{"east/a": false, "east/b": false}, unknown: true},
		"most other datacenters deny":        {contacts: all, answers: answers{"east/a": false, "north/a": false}},
		"half of the other datacenters deny": {contacts: append(all, "mars/a"), answers: answers{"east/a": false, "north/a": false}, unknown: true},
		"most confirm":                       {contacts: all, answers: answers{"east/a": false, "north/a": true, "south/a": true}, listed: true},
		"a gateway of the own one denies":    {contacts: all, answers: answers{"west/b": false, "east/a": true}},
		"a gateway of the own one confirms":  {contacts: all, answers: answers{"west/b": true, "east/a": false, "north/a": false}, listed: true},
		"the only other datacenter denies":   {contacts: []catalog.GatewayID{"east/a", "east/b"}, answers: answers{"east/a": false, "east/b": false}, unknown: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			listed, err := judgeListings("west", test.contacts, test.answers)
			if test.unknown {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.listed, listed)
		})
	}
}

func TestADatacenterIsRemovedOnlyIfMostOthersReportIt(t *testing.T) {
	others := []catalog.GatewayID{"east/a", "east/b", "north/a", "south/a"}
	assert.Empty(t, mostReport(others, []catalog.GatewayID{"east/a", "east/b"}))
	assert.Equal(t, []catalog.GatewayID{"east/a", "north/a"}, mostReport(others, []catalog.GatewayID{"north/a", "east/b", "east/a"}), "one of each, sorted")
	assert.Equal(t, []catalog.GatewayID{"east/a"}, mostReport(others[:2], []catalog.GatewayID{"east/a"}), "there is no other")
	assert.Empty(t, mostReport(others, nil))
}
