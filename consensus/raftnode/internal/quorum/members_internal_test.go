package quorum

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
)

// parseMembers reads "east/a:V west/a:vs …": the datacenter is before the slash,
// and of the flags V is a leader, v a voter, s stable, h healthy, d dead, g not in
// the catalog, l about to leave, w a witness, 4 with IPv4 addresses only, 6 with IPv6 addresses
// only. Leaders are healthy, and voters unless dead. What follows an @ is the sponsor.
func parseMembers(text string) []Member {
	var members []Member
	for word := range strings.FieldsSeq(text) {
		id, flags, _ := strings.Cut(word, ":")
		flags, sponsor, _ := strings.Cut(flags, "@")
		has := func(f string) bool { return strings.Contains(flags, f) }
		m := Member{
			ID: catalog.GatewayID(id), Leader: has("V"), Voter: has("V") || has("v"), InCatalog: !has("g"), Abstains: has("l"), Witness: has("w"),
			Sponsor: catalog.DatacenterName(sponsor), Stable: has("s") || has("V"), Healthy: !has("d") && (has("V") || has("v") || has("s") || has("h")),
		}
		if m.InCatalog {
			m.Datacenter = m.ID.Datacenter()
		}
		switch {
		case has("4"):
			m.Families = ipv4
		case has("6"):
			m.Families = ipv6
		}
		members = append(members, m)
	}
	return members
}

// many returns ten members of a datacenter with the flags.
func many(dc, flags string) string {
	var words []string
	for i := range 10 {
		words = append(words, fmt.Sprintf("%s/%d:%s", dc, i+1, flags))
	}
	return strings.Join(words, " ")
}

func join(ids []catalog.GatewayID) string {
	var out []string
	for _, id := range ids {
		out = append(out, string(id))
	}
	return strings.Join(out, " ")
}

func TestVotersAreOddAndSpreadAndKeptWhileUnreachable(t *testing.T) {
	for _, tc := range []struct{ name, members, promote, demote string }{
		{"alone", "a/1:V", "", ""},
		{"two keep one", "a/1:V b/1:s", "", ""},
		{"a third one that was just invited", "a/1:V b/1:s c/1:s@a", "b/1 c/1", ""},
		{"a third one that was just invited by one without a vote", "a/1:V b/1:s c/1:s@b", "", ""},
		{"further ones that were just invited", "a/1:V b/1:v c/1:v d/1:s@b e/1:s@b", "", ""},
		{"one whose sponsor is about to leave", "a/1:Vl b/1:s@a", "b/1", ""},
		{"one whose sponsor has left", "a/1:V b/1:v c/1:v d/1:s@e e/1:hg", "", ""},
		{"one whose sponsor without a vote has left", "a/1:V b/1:s c/1:s@e", "b/1 c/1", ""},
		{"a replacement of a sponsor that has left", "a/1:V b/1:v w/1:vg c/1:s@w", "c/1", ""},
		{"many in a federation of two", "a/1:V b/1:s c/1:s@a d/1:s@a e/1:s@a f/1:s@a", "b/1 c/1", ""},
		{"many in a federation of one", "a/1:V c/1:s@a d/1:s@a e/1:s@a f/1:s@a", "c/1 d/1", ""},
		{"a week later", "a/1:V b/1:v c/1:v d/1:s e/1:s", "d/1 e/1", ""},
		{"one with a vote that was just invited keeps it", "a/1:V b/1:v c/1:v@b d/1:s", "", ""},
		{"another one instead", "a/1:V b/1:v c/1:v d/1:s@b e/1:s f/1:s", "e/1 f/1", ""},
		{"guests of two, in a federation of three", "a/1:V b/1:v c/1:v d/1:s@b e/1:s@c", "", ""},
		{"three get three", "a/1:V b/1:s c/1:s", "b/1 c/1", ""},
		{"a third that is not stable yet", "a/1:V b/1:s c/1:h", "", ""},
		{"four keep three", "a/1:V b/1:v c/1:v d/1:s", "", ""},
		{"five get five", "a/1:V b/1:v c/1:v d/1:s e/1:s", "d/1 e/1", ""},
		{"six keep five", "a/1:V b/1:v c/1:v d/1:v e/1:v f/1:s", "", ""},
		{"datacenters before gateways", "a/1:V a/2:s b/1:s b/2:s c/1:s", "a/2 b/1 b/2 c/1", ""},
		{"three of four: one of each", "a/1:V a/2:s b/1:s c/1:s", "b/1 c/1", ""},
		{"a new datacenter: first promote", "a/1:V a/2:v a/3:v b/1:s", "b/1", ""},
		{"a new datacenter: then demote", "a/1:V a/2:v a/3:v b/1:v", "", "a/3"},
		{"unreachable keeps its vote", "a/1:V b/1:v c/1:vd d/1:s", "", ""},
		{"unreachable: no other voter is demoted", "a/1:V b/1:v c/1:vd d/1:v", "", ""},
		{"one left: back to one", "a/1:V b/1:v", "", "b/1"},
		{"one is leaving: no voter is demoted meanwhile", "a/1:V b/1:v c/1:vg", "", ""},
		{"one is leaving: its vote goes to another", "a/1:V b/1:v c/1:vg d/1:s", "d/1", ""},
		{"about to leave: it loses its vote when others vote", "a/1:V b/1:vl", "", "b/1"},
		{"about to leave: two of a datacenter, one of which does not answer", "a/1:V b/1:vl b/2:vld", "", "b/1 b/2"},
		{"about to leave: first promote the successors", "a/1:V b/1:vl b/2:vl c/1:s d/1:s", "c/1 d/1", ""},
		{"the leader is about to leave: its successor need not be stable", "a/1:Vl b/1:h", "b/1", ""},
		{"the leader is about to leave: it keeps its vote until it has handed over", "a/1:Vl b/1:v", "", ""},
		{"about to leave: the only datacenter", "a/1:Vl a/2:vl", "", ""},
		{"about to leave: not while others do not answer", "a/1:V b/1:vl c/1:vd", "", ""},
		{"the only voter is leaving: its successor need not be stable", "a/1:Vg b/1:h", "b/1", ""},
		{"five lose two datacenters", "a/1:V b/1:v c/1:v d/1:vg e/1:vg f/1:s", "", ""},
		{"two of them are removed", "a/1:V b/1:v c/1:v f/1:s g/1:s", "f/1 g/1", ""},
		{"a dead member gets no vote", "a/1:V b/1:d c/1:s d/1:d", "", ""},
		{"the leader does not reach one: another that does gets a vote", "a/1:V4 b/1:s c/1:d6", "b/1", ""},
		{"the leader does not reach one: not before it is stable", "a/1:V4 b/1:h c/1:d6", "", ""},
		{"the leader does not reach one: it keeps its vote until it has handed over", "a/1:V4 b/1:v c/1:d6", "", ""},
		{"the leader does not reach one: it has handed over", "a/1:v4 b/1:V c/1:s6", "c/1", ""},
		{"the leader does not reach one: nor does any other", "a/1:V4 b/1:s4 c/1:d6", "", ""},
		{"the leader does not reach one: the sixth does", "a/1:V4 b/1:v4 c/1:v4 d/1:v4 e/1:v4 f/1:s g/1:d6", "f/1", ""},
		{"the leader does not reach one: the sixth votes instead", "a/1:V4 b/1:v4 c/1:v4 d/1:v4 e/1:v4 f/1:v g/1:d6", "", "e/1"},
		{"the leader does not reach one: in a federation of one datacenter", "a/1:V4 a/2:s a/3:d6", "a/2", ""},
		{"three of four: those that reach more", "a/1:V b/1:s6 c/1:s4 d/1:s4", "c/1 d/1", ""},
		{"one that only its own datacenter reaches gives that no vote", "a/1:V4 b/1:v4 c/1:v4 h/1:s h/2:d6", "", ""},
		{"one that only its own datacenter reaches gives that no vote: of two", "a/1:V4 h/1:s h/2:d6", "", ""},
		{"ten that only their own datacenter reaches give that no vote", "a/1:V4 b/1:v4 c/1:v4 h/0:s " + many("h", "d6"), "", ""},
		{"one that runs and only its own datacenter reaches: the sixth", "a/1:V b/1:v4 c/1:v4 d/1:v4 e/1:v4 h/1:s h/2:s6", "", ""},
		{"one that runs and only its own datacenter reaches: one of six", "a/1:V b/1:s4 c/1:s4 d/1:s4 e/1:s4 h/1:s h/2:s6", "b/1 c/1 d/1 e/1", ""},
		{"a voter keeps its vote from one that reaches more", "a/1:V b/1:v4 c/1:v4 d/1:v4 e/1:v4 f/1:s h/1:s6", "", ""},
		{"a witness has no vote by an invented member", "a/1:V4 b/1:v4 c/1:v4 h/1:sw h/2:d6", "", ""},
		{"instead of a witness leads no member by an invented one", "a/1:v4 b/1:v4 w/1:Vw4 h/1:s h/2:d6", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			promote, demote := PlanVoters(parseMembers(tc.members))
			assert.Equal(t, tc.promote, join(promote), "promote")
			assert.Equal(t, tc.demote, join(demote), "demote")
		})
	}
}

func TestMembershipFollowsTheCatalogButKeepsAQuorum(t *testing.T) {
	for _, tc := range []struct {
		name, members, catalog, add, remove, deferred string
		handOver                                      bool
	}{
		{name: "equal", members: "a/1:V b/1:v", catalog: "a/1 b/1"},
		{name: "no catalog yet: no member is removed", members: "a/1:Vg", catalog: ""},
		{name: "joined", members: "a/1:V", catalog: "a/1 b/1", add: "b/1"},
		{name: "left", members: "a/1:V b/1:v c/1:vg", catalog: "a/1 b/1", remove: "c/1"},
		{name: "two left at once", members: "a/1:V b/1:vg c/1:vg", catalog: "a/1", remove: "b/1 c/1"},
		{name: "non-voter left", members: "a/1:V b/1:vd c/1:v d/1:g", catalog: "a/1 b/1 c/1", remove: "d/1"},
		{name: "dead one left", members: "a/1:V b/1:v c/1:vdg", catalog: "a/1 b/1", remove: "c/1"},
		{
			name: "the rest would have no quorum", members: "a/1:V b/1:vd c/1:vg", catalog: "a/1 b/1",
			deferred: "c/1",
		},
		{name: "leader about to leave", members: "a/1:Vl b/1:v c/1:v", catalog: "a/1 b/1 c/1", handOver: true},
		{name: "leader left", members: "a/1:Vg b/1:v c/1:v", catalog: "b/1 c/1", handOver: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var gateways []catalog.GatewayID
			for id := range strings.FieldsSeq(tc.catalog) {
				gateways = append(gateways, catalog.GatewayID(id))
			}
			plan := PlanMembers(parseMembers(tc.members), gateways)
			assert.Equal(t, tc.add, join(plan.Add), "add")
			assert.Equal(t, tc.remove, join(plan.Remove), "remove")
			assert.Equal(t, tc.deferred, join(plan.Deferred), "deferred")
			assert.Equal(t, tc.handOver, plan.LeaderLeaves, "hand over")
		})
	}
}

func TestTheSuccessorIsTheMostCurrentHealthyVoter(t *testing.T) {
	members := parseMembers("a/1:V b/1:v c/1:v d/1:vd e/1:s f/1:vg")
	members[2].LastIndex = 7
	assert.Equal(t, catalog.GatewayID("c/1"), Successor(members))
	assert.Empty(t, Successor(parseMembers("a/1:V b/1:s c/1:vd")))
}

func TestAVoterThatReachesMoreMembersShouldLead(t *testing.T) {
	for _, tc := range []struct{ name, members, better string }{
		{"all have both families", "a/1:V b/1:v c/1:d", ""},
		{"one family in common", "a/1:V4 b/1:v4 c/1:d4", ""},
		{"the leader does not reach one", "a/1:V4 b/1:v c/1:d6", "b/1"},
		{"the same with the families exchanged", "a/1:V6 b/1:v c/1:d4", "b/1"},
		{"it answers nevertheless", "a/1:V4 b/1:v c/1:h6", ""},
		{"it has left the catalog", "a/1:V4 b/1:v c/1:d6g", ""},
		{"the other has no vote yet", "a/1:V4 b/1:s c/1:d6", ""},
		{"the other does not answer", "a/1:V4 b/1:vd c/1:d6", ""},
		{"the other is about to leave", "a/1:V4 b/1:vl c/1:d6", ""},
		{"the other has left", "a/1:V4 b/1:vg c/1:d6", ""},
		{"the other does not reach it either", "a/1:V4 b/1:v4 c/1:d6", ""},
		{"the other reaches as few", "a/1:V4 b/1:v6 c/1:d6 d/1:h4", ""},
		{"the leader is about to leave: that comes first", "a/1:Vl4 b/1:v c/1:d6", ""},
		{"a leader that reaches all keeps it", "a/1:v4 b/1:V c/1:d6", ""},
		{"the other has a vote, and that one is of its datacenter", "a/1:V4 b/1:v b/2:d6", "b/1"},
		{"all are of one datacenter", "a/1:V4 a/2:v a/3:d6", "a/2"},
		{"many of one datacenter count as one", "a/1:V4 b/1:v6 c/1:h4 h/0:h " + many("h", "d6"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := PlanMembers(parseMembers(tc.members), []catalog.GatewayID{"a/1"})
			assert.Equal(t, tc.better, string(plan.Better))
		})
	}
}

func TestTheSuccessorReachesAsManyMembersAsPossible(t *testing.T) {
	members := parseMembers("a/1:V b/1:v4 c/1:v d/1:v6 e/1:v6")
	members[1].LastIndex = 7
	assert.Equal(t, catalog.GatewayID("c/1"), Successor(members))
	members = parseMembers("a/1:V b/1:v4 d/1:v6 e/1:v6")
	assert.Equal(t, catalog.GatewayID("d/1"), Successor(members), "of those without the other family, one of the more frequent family")
}

func TestLeadershipIsNotTransferredToOneThatReachesFewer(t *testing.T) {
	for _, tc := range []struct{ name, members, want string }{
		{"as many", "a/1:V b/1:v c/1:v6", ""},
		{"fewer", "a/1:V b/1:v4 c/1:v6", "b/1 has no address family in common with c/1"},
		{"fewer, and that one does not answer", "a/1:V b/1:v4 c/1:vd6", "b/1 has no address family in common with c/1"},
		{"other ones, and as many", "a/1:V4 b/1:v6 c/1:v", ""},
		{"more", "a/1:V4 b/1:v c/1:d6", ""},
		{"it has left the catalog", "a/1:V b/1:v4 c/1:v6g", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckSuccessor(parseMembers(tc.members), "b/1")
			if tc.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tc.want)
			}
		})
	}
}

func TestFamiliesAreThoseOfTheAddressesThatAGatewayAdvertises(t *testing.T) {
	for _, tc := range []struct {
		name                string
		endpoints, controls []string
		want                Families
	}{
		{"none", nil, nil, 0},
		{"IPv4", []string{"192.0.2.1:51820"}, []string{"192.0.2.1:7443"}, ipv4},
		{"IPv6", []string{"[2001:db8::1]:51820"}, []string{"[2001:db8::1]:7443"}, ipv6},
		{"IPv4 in IPv6", []string{"[::ffff:192.0.2.1]:51820"}, nil, ipv4},
		{"both", []string{"192.0.2.1:51820", "[2001:db8::1]:51820"}, nil, anyFamily},
		{"one for each port", []string{"192.0.2.1:51820"}, []string{"[2001:db8::1]:7443"}, anyFamily},
		{"a name", []string{"gw.example.org:51820"}, []string{"192.0.2.1:7443"}, anyFamily},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, FamiliesOf(catalog.Gateway{Endpoints: tc.endpoints, Controls: tc.controls}))
		})
	}
}
