package quorum

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// maxVoters bounds the voters: more voters survive more losses, but each commit
// waits for more answers.
const maxVoters = 5

// Member is one server of the raft configuration as the leader judges it.
type Member struct {
	ID         catalog.GatewayID
	Datacenter catalog.DatacenterName
	Sponsor    catalog.DatacenterName // what the datacenter counts as (package sponsor); empty: itself
	Voter      bool
	Leader     bool
	InCatalog  bool // false: its gateway has left, and it is to be removed
	Abstains   bool // its datacenter is about to leave: it must not vote
	Witness    bool // it leads only while no other voter can
	Healthy    bool // answers and is nearly up to date
	Stable     bool // has been healthy for the stabilization time
	LastIndex  uint64
	Families   Families // of its addresses
}

// lacksQuorum reports whether too few voters are healthy to commit an entry.
func lacksQuorum(members []Member) bool {
	voters, healthy := 0, 0
	for _, m := range members {
		if !m.Voter {
			continue
		}
		voters++
		if m.Healthy {
			healthy++
		}
	}
	return healthy <= voters/2
}

// without returns members except the one with the id.
func without(members []Member, id catalog.GatewayID) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.ID == id })
}

// Successor returns the member to lead next: of the healthy voters in the
// catalog, the one that reaches the most members, then one that is no witness, then the
// one with the most entries. Empty: there is none.
func Successor(members []Member) catalog.GatewayID {
	return newCensus(members).best(members, func(m Member) bool { return m.Voter && !m.Leader })
}

// NextLeader returns the member to which leadership is transferred on request, which is
// to, or the Successor if to is empty. It fails if that one cannot lead, or is a witness
// that would hand over again.
func NextLeader(members []Member, to catalog.GatewayID) (catalog.GatewayID, error) {
	next := cmp.Or(to, Successor(members))
	if next == "" {
		return "", errors.New("there is no other healthy voter: see meshctl raft list-peers")
	}
	if err := CheckSuccessor(members, next); err != nil {
		return "", err
	}
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == next })
	if to != "" && replacement(members, members[i], isVoter) != "" {
		return "", fmt.Errorf("%s is a witness, which leads only while no other voter can: choose a voter of another datacenter", to)
	}
	return next, nil
}

// CheckSuccessor returns the reason why to cannot lead; nil: it can.
func CheckSuccessor(members []Member, to catalog.GatewayID) error {
	for _, m := range members {
		switch {
		case m.ID != to:
		case !m.Voter:
			return fmt.Errorf("%s has no vote: choose a voter", to)
		case !m.Healthy:
			return fmt.Errorf("%s does not answer or its log lags: choose a healthy voter", to)
		case cutOffBy(members, m) != "":
			return fmt.Errorf("%s has no address family in common with %s, to which it would send the catalog: "+
				"give one of them an address of the other family", to, cutOffBy(members, m))
		default:
			return nil
		}
	}
	return notMember(to)
}

// CheckRemoval returns the reason why the member cannot be removed on request; nil: it
// can. One that answers stays: otherwise any member could take the votes of all others.
func CheckRemoval(members []Member, id catalog.GatewayID) error {
	rest := without(members, id)
	if len(rest) == len(members) {
		return notMember(id)
	}
	for _, m := range members {
		if m.ID == id && m.Healthy {
			return fmt.Errorf("%s answers: only a member that is permanently lost is removed; run meshctl leave there instead", id)
		}
	}
	if lacksQuorum(rest) {
		return fmt.Errorf("without %s the remaining voters have no quorum: bring another voter back first", id)
	}
	return nil
}

func notMember(id catalog.GatewayID) error {
	return fmt.Errorf("%s is not a member: see meshctl raft list-peers", id)
}

// MemberPlan is the difference between the raft configuration and the
// catalog.
type MemberPlan struct {
	Add          []catalog.GatewayID // as non-voters
	Remove       []catalog.GatewayID
	Deferred     []catalog.GatewayID // to be removed when the others have a quorum without them
	LeaderLeaves bool                // the leader has left the catalog or abstains: another member must lead
	Better       catalog.GatewayID   // the voter that should lead instead (see betterLeader); empty: none
}

// PlanMembers compares the members with the gateways of the catalog. Without
// gateways the catalog is not known yet, and the plan is empty.
func PlanMembers(members []Member, gateways []catalog.GatewayID) MemberPlan {
	var plan MemberPlan
	if len(gateways) == 0 {
		return plan
	}
	plan.Better = betterLeader(members, isVoter)
	present := make(map[catalog.GatewayID]bool, len(members))
	for _, m := range members {
		present[m.ID] = true
	}
	for _, id := range gateways {
		if !present[id] {
			plan.Add = append(plan.Add, id)
		}
	}
	rest := members
	for _, m := range members {
		switch {
		case m.Leader:
			plan.LeaderLeaves = !m.InCatalog || m.Abstains
		case m.InCatalog:
		case m.Voter && lacksQuorum(without(rest, m.ID)):
			plan.Deferred = append(plan.Deferred, m.ID)
		default:
			plan.Remove = append(plan.Remove, m.ID)
			rest = without(rest, m.ID)
		}
	}
	return plan
}

// PlanVoters returns the changes of votes. The voters should be the largest odd
// number, at most maxVoters, of the members that vote already or are stable, one
// of each datacenter before a second of any, and a witness last of those. The number is
// odd because an even number of voters survives no more losses than one voter less; of
// two members one votes until there can be three voters. It is smaller if one of three
// or more datacenters would have most of the votes: the others must survive its loss.
//
// A voter that does not answer keeps its vote: in a partition, a voter that was
// demoted on one side could not replace the other side if that is lost. It loses
// its vote only when its gateway leaves the catalog or is about to. While a voter
// does not answer or is about to be removed, no voter is demoted.
//
// A member that should lead instead (see betterLeader) votes, too, even if there are
// two voters until it leads.
//
// Datacenters that count as another one (package sponsor), which has a vote, get votes only
// as long as there are fewer than three: one that invites those that it makes up would soon
// have most votes.
func PlanVoters(members []Member) (promote, demote []catalog.GatewayID) {
	leaderLeaves, mayDemote := false, true
	var eligible []Member
	for _, m := range members {
		leaderLeaves = leaderLeaves || m.Leader && (!m.InCatalog || m.Abstains)
		mayDemote = mayDemote && (!m.Voter || m.Abstains || m.InCatalog && m.Healthy)
	}
	for _, m := range members {
		// The successor of a leader that leaves need not be stable.
		ready := m.Stable || leaderLeaves && m.Healthy
		if m.InCatalog && !m.Abstains && (m.Voter || ready) {
			eligible = append(eligible, m)
		}
	}
	eligible = withoutSponsored(eligible, members)
	target := voterCount(eligible)
	better := betterLeader(members, func(m Member) bool { return m.Voter || m.Stable && !m.sponsored() })
	if better != "" {
		target = max(target, 2)
	}
	chosen := chooseVoters(eligible, target, better)
	for _, m := range members {
		switch {
		case chosen[m.ID] && !m.Voter:
			promote = append(promote, m.ID)
		case !chosen[m.ID] && m.Voter && m.InCatalog && !m.Leader && len(chosen) > 0:
			demote = append(demote, m.ID)
		}
	}
	if len(promote) > 0 || !mayDemote {
		demote = nil // all promotions come before the first demotion
	}
	return promote, demote
}

// countsAs returns what the datacenter of m counts as.
func (m Member) countsAs() catalog.DatacenterName { return cmp.Or(m.Sponsor, m.Datacenter) }

func (m Member) sponsored() bool { return m.countsAs() != m.Datacenter }

// withoutSponsored returns members without those that have no vote and whose datacenter
// counts as its sponsor. It keeps as many of them as three datacenters require, if their
// sponsors have a vote: otherwise a datacenter without a vote would have two of three votes
// through those that it invites. A sponsor that has left has none. all are all members.
func withoutSponsored(members, all []Member) []Member {
	const enough = 3
	kept, mayVote := make(map[catalog.DatacenterName]bool), make(map[catalog.DatacenterName]bool)
	present := make(map[catalog.DatacenterName]bool)
	for _, m := range all {
		present[m.Datacenter] = present[m.Datacenter] || m.InCatalog
		mayVote[m.countsAs()] = mayVote[m.countsAs()] || m.Voter
	}
	for _, m := range members {
		if m.Voter || !m.sponsored() {
			kept[m.Datacenter] = true
		}
	}
	var rest []Member
	for _, m := range members {
		if kept[m.Datacenter] || len(kept) < enough && (mayVote[m.countsAs()] || !present[m.countsAs()]) {
			kept[m.Datacenter] = true
			rest = append(rest, m)
		}
	}
	return rest
}

// voterCount returns how many of the members should vote.
func voterCount(eligible []Member) int {
	perDatacenter := make(map[catalog.DatacenterName]int)
	for _, m := range eligible {
		perDatacenter[m.Datacenter]++
	}
	count := min(len(eligible), maxVoters)
	if count%2 == 0 {
		count--
	}
	for ; len(perDatacenter) > 2; count -= 2 { // three votes can always be spread
		spread := 0
		for _, n := range perDatacenter {
			spread += min(n, count/2)
		}
		if spread >= count {
			break
		}
	}
	return count
}

// chooseVoters picks count members one by one: the leader first, then the one that
// should lead instead, then always one of a datacenter with the fewest picked so far,
// witnesses last, voters before non-voters, those that reach more datacenters first, then
// in the order of ids. What one member writes of its addresses takes no vote of another.
func chooseVoters(eligible []Member, count int, better catalog.GatewayID) map[catalog.GatewayID]bool {
	chosen := make(map[catalog.GatewayID]bool)
	perDatacenter := make(map[catalog.DatacenterName]int)
	rest := slices.Clone(eligible)
	all := newCensus(eligible)
	for len(chosen) < count {
		best := slices.MinFunc(rest, func(a, b Member) int {
			return cmp.Or(
				-compareBool(a.Leader, b.Leader),
				-compareBool(a.ID == better, b.ID == better),
				cmp.Compare(perDatacenter[a.Datacenter], perDatacenter[b.Datacenter]),
				compareBool(a.Witness, b.Witness),
				-compareBool(a.Voter, b.Voter),
				cmp.Compare(all.unreached(a.Families), all.unreached(b.Families)),
				cmp.Compare(a.ID, b.ID),
			)
		})
		chosen[best.ID] = true
		perDatacenter[best.Datacenter]++
		rest = without(rest, best.ID)
	}
	return chosen
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
