package quorum

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestAMemberThatWasAwayBelievesOneKnownVoterOrMostOtherDatacenters(t *testing.T) {
	report := func(from catalog.GatewayID, term uint64, voters ...catalog.GatewayID) Report {
		r := Report{From: from, Electorate: consensus.Electorate{Term: term}}
		for _, id := range voters {
			r.Voters = append(r.Voters, consensus.Voter{ID: id})
		}
		return r
	}
	q := Inquiry{
		Own:      "a/1",
		Voters:   []catalog.GatewayID{"a/1", "b/1", "c/1"},
		Gateways: []catalog.GatewayID{"a/1", "a/2", "b/1", "c/1", "d/1", "d/2", "e/1"},
	}
	tests := map[string]struct {
		reports  []Report
		patience Patience
		want     []catalog.GatewayID
		term     uint64
	}{
		"no answer":                       {},
		"a known voter":                   {reports: []Report{report("b/1", 9, "d/1")}, want: []catalog.GatewayID{"d/1"}},
		"a gateway of the own datacenter": {reports: []Report{report("a/2", 9, "d/1")}, want: []catalog.GatewayID{"d/1"}},
		"a known voter without a later one, while another may": {reports: []Report{report("b/1", 9, "b/1", "c/1")}},
		"a known voter without a later one, and another that does": {
			reports: []Report{report("b/1", 9, "b/1"), report("c/1", 9, "b/1", "d/1")}, want: []catalog.GatewayID{"b/1", "d/1"}, term: 9,
		},
		"a known voter without a later one": {reports: []Report{report("b/1", 9, "b/1")}, patience: Waited, want: []catalog.GatewayID{"b/1"}},
		"two known voters, one of which claims a high term": {
			reports: []Report{report("b/1", 1<<50, "d/1"), report("c/1", 9, "d/1")}, want: []catalog.GatewayID{"d/1"}, term: 9,
		},
		"a known voter beside strangers": {
			reports: []Report{report("e/1", 9, "e/1"), report("d/1", 9, "e/1"), report("b/1", 9, "d/1")}, patience: Waited,
			want: []catalog.GatewayID{"d/1"},
		},
		"one other datacenter, for itself":       {reports: []Report{report("d/1", 9, "d/1"), report("d/2", 9, "d/1")}, patience: Waited},
		"the one that is left, after long":       {reports: []Report{report("d/1", 9, "d/1")}, patience: LeftOut, want: []catalog.GatewayID{"d/1"}, term: 9},
		"half of those that are left":            {reports: []Report{report("d/1", 9, "d/1"), report("e/1", 9, "e/1")}, patience: LeftOut, term: 9},
		"strangers while a known one may answer": {reports: []Report{report("d/1", 9, "d/1"), report("e/1", 9, "d/1")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := q.Result(test.reports, test.patience)
			var ids []catalog.GatewayID
			for _, v := range got.Voters {
				ids = append(ids, v.ID)
			}
			assert.Equal(t, test.want, ids)
			assert.Equal(t, test.term, got.Term)
		})
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	guests := q
	guests.Gateways = []catalog.GatewayID{"a/1", "d/1", "e/1", "f/1", "g/1", "h/1"}
	for _, dc := range []catalog.DatacenterName{"f", "g", "h"} {
		guests.Sponsors = guests.Sponsors.With(dc, "e", now)
	}
	byGuests := []Report{report("d/1", 9, "d/1"), report("e/1", 9, "x/1"), report("f/1", 9, "x/1"), report("g/1", 9, "x/1"), report("h/1", 9, "x/1")}
	assert.Empty(t, guests.Result(byGuests, Waited).Voters, "those that one datacenter has just invited report as one")
	assert.Empty(t, guests.Result(byGuests, LeftOut).Voters)

	q.Gateways = []catalog.GatewayID{"a/1", "d/1", "e/1"}
	got := q.Result([]Report{report("d/1", 8, "d/1", "x/1"), report("e/1", 9, "d/1")}, Waited)
	assert.Equal(t, consensus.Electorate{Term: 8, Voters: []consensus.Voter{{ID: "d/1"}}}, got, "what most other datacenters name")
}

func TestTheCAOfAVoterIsTheOneThatMostDatacentersName(t *testing.T) {
	report := func(from catalog.GatewayID, ca string) Report {
		return Report{From: from, Electorate: consensus.Electorate{Term: 9, Voters: []consensus.Voter{{ID: "f/1", CA: []byte(ca)}}}}
	}
	q := Inquiry{Own: "a/1", Gateways: []catalog.GatewayID{"a/1", "b/1", "c/1", "d/1"}}
	for _, reports := range [][]Report{
		{report("b/1", "right"), report("c/1", "right"), report("d/1", "wrong")},
		{report("d/1", "wrong"), report("c/1", "right"), report("b/1", "right")},
	} {
		assert.Equal(t, []consensus.Voter{{ID: "f/1", CA: []byte("right")}}, q.Result(reports, Waited).Voters)
	}
}
