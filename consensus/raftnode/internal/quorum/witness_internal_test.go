package quorum

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
)

// names returns n members of a datacenter, which are stable: a/1:s a/2:s …
func names(dc string, n int) string {
	var words []string
	for i := range n {
		words = append(words, dc+"/"+string(rune('1'+i))+":s")
	}
	return strings.Join(words, " ")
}

// settle applies what PlanVoters decides until nothing changes.
func settle(t *testing.T, members []Member) []Member {
	t.Helper()
	for range 10 {
		promote, demote := PlanVoters(members)
		if len(promote)+len(demote) == 0 {
			return members
		}
		for i := range members {
			m := &members[i]
			for _, id := range promote {
				m.Voter = m.Voter || m.ID == id
			}
			for _, id := range demote {
				m.Voter = m.Voter && m.ID != id
			}
		}
	}
	t.Fatal("the votes do not settle")
	return nil
}

func TestVotersSurviveTheLossOfEachOfTwoDatacentersAndAWitness(t *testing.T) {
	for a := 1; a <= 7; a++ {
		for b := 1; b <= 7; b++ {
			text := names("a", a) + " " + names("b", b) + " w/1:sw"
			members := parseMembers(strings.Replace(text, "a/1:s", "a/1:V", 1))
			members = settle(t, members)
			votes, of := 0, map[catalog.DatacenterName]int{}
			for _, m := range members {
				if m.Voter {
					votes++
					of[m.Datacenter]++
				}
			}
			for _, dc := range []catalog.DatacenterName{"a", "b", "w"} {
				assert.Positive(t, of[dc], "%d and %d gateways: %s has a vote", a, b, dc)
				assert.Greater(t, votes-of[dc], votes/2, "%d and %d gateways: %s is lost", a, b, dc)
			}
		}
	}
}

func TestAWitnessVotesIfNoDataWouldVoteInstead(t *testing.T) {
	for _, tc := range []struct{ name, members, promote, demote string }{
		{"two datacenters and a witness", "a/1:V b/1:s w/1:sw", "b/1 w/1", ""},
		{"one of two witnesses", "a/1:V b/1:s v/1:sw w/1:sw", "b/1 v/1", ""},
		{"three datacenters need none", "a/1:V b/1:s c/1:s w/1:sw", "b/1 c/1", ""},
		{"three datacenters with two gateways have one vote for each first", "a/1:V a/2:s b/1:s c/1:s w/1:sw", "a/2 b/1 c/1 w/1", ""},
		{"a third datacenter takes its vote over: first promote", "a/1:V b/1:v c/1:s w/1:vw", "c/1", ""},
		{"a third datacenter takes its vote over: then demote", "a/1:V b/1:v c/1:v w/1:vw", "", "w/1"},
		{"it keeps its vote while one of two does not answer", "a/1:V b/1:vd w/1:vw", "", ""},
		{"it leads alone: one that has data gets a vote, to lead instead", "a/1:s w/1:Vw", "a/1", ""},
		{"it led alone, and has handed over", "a/1:V w/1:vw", "", "w/1"},
		{"it leads alone: not before the other is stable", "a/1:h w/1:Vw", "", ""},
		{"one datacenter may have all votes if there are two", "a/1:V a/2:s a/3:s b/1:s b/2:s", "a/2 a/3 b/1 b/2", ""},
		{"none has half of the votes if there are three", "a/1:V a/2:s a/3:s b/1:s c/1:s", "b/1 c/1", ""},
		{"none keeps half of the votes if there are three", "a/1:V a/2:v a/3:v b/1:v c/1:v", "", "a/2 a/3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			promote, demote := PlanVoters(parseMembers(tc.members))
			assert.Equal(t, tc.promote, join(promote), "promote")
			assert.Equal(t, tc.demote, join(demote), "demote")
		})
	}
}

func TestAWitnessThatLeadsHandsOver(t *testing.T) {
	for _, tc := range []struct{ name, members, better string }{
		{"to a voter", "a/1:v w/1:Vw", "a/1"},
		{"not to one without a vote", "a/1:s w/1:Vw", ""},
		{"not to one that does not answer", "a/1:vd w/1:Vw", ""},
		{"not to one that is about to leave", "a/1:vl w/1:Vw", ""},
		{"not to one that has left", "a/1:vg w/1:Vw", ""},
		{"not to another witness", "v/1:vw w/1:Vw", ""},
		{"not to one that reaches fewer", "a/1:v4 b/1:v6 w/1:Vw", ""},
		{"to one that reaches as many", "a/1:v4 b/1:vd4 w/1:Vw4", "a/1"},
		{"of two, to the one that reaches more", "a/1:v4 b/1:v c/1:h6 w/1:Vw", "b/1"},
		{"one that does not lead does not", "a/1:V w/1:vw", ""},
		{"one that is about to leave does so for that reason", "a/1:v w/1:Vwl", ""},
		{"a leader that reaches fewer hands over to it if there is no other", "a/1:V4 b/1:d6 w/1:vw", "w/1"},
		{"a leader that reaches fewer hands over to one with data", "a/1:V4 b/1:d6 c/1:v w/1:vw", "c/1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := PlanMembers(parseMembers(tc.members), []catalog.GatewayID{"a/1"})
			assert.Equal(t, tc.better, string(plan.Better))
		})
	}
}

func TestAWitnessIsTheSuccessorOnlyIfThereIsNoOther(t *testing.T) {
	members := parseMembers("a/1:V b/1:v w/1:vw")
	members[2].LastIndex = 7
	assert.Equal(t, catalog.GatewayID("b/1"), Successor(members))
	assert.Equal(t, catalog.GatewayID("w/1"), Successor(parseMembers("a/1:V b/1:vd w/1:vw")))
}

func TestLeadershipIsNotTransferredToAWitnessOnRequest(t *testing.T) {
	for _, tc := range []struct {
		name, members string
		to            catalog.GatewayID
		want          catalog.GatewayID
		err           string
	}{
		{name: "by name", members: "a/1:V b/1:v w/1:vw", to: "w/1", err: "w/1 is a witness"},
		{name: "by name, if only the leader has data", members: "a/1:V b/1:vd w/1:vw", to: "w/1", err: "w/1 is a witness"},
		{name: "by name, if there are only witnesses", members: "v/1:Vw w/1:vw", to: "w/1", want: "w/1"},
		{name: "by choice of the leader", members: "a/1:V b/1:v w/1:vw", want: "b/1"},
		{name: "by choice of the leader, if there is no other", members: "a/1:V b/1:vd w/1:vw", want: "w/1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := NextLeader(parseMembers(tc.members), tc.to)
			if tc.err != "" {
				assert.ErrorContains(t, err, tc.err)
				return
			}
			assert.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}
