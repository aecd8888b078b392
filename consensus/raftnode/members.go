package raftnode

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// maxTrailing is how many entries a healthy member may lack.
	maxTrailing = 1000
	// maxVoters bounds the voters: more voters survive more losses, but each
	// commit waits for more answers.
	maxVoters = 5
)

// member is one server of the raft configuration as the leader judges it.
type member struct {
	id         catalog.GatewayID
	datacenter catalog.DatacenterName
	voter      bool
	leader     bool
	inCatalog  bool // false: its gateway has left, and it is to be removed
	abstains   bool // its datacenter is about to leave: it must not vote
	healthy    bool // answers and is nearly up to date
	stable     bool // has been healthy for the stabilization time
	lastIndex  uint64
}

// members judges all members as of now. They are sorted by id.
func (l *leadership) members() []member {
	contacts, _ := l.node.contacts.all()
	view, now, last := l.node.View(), time.Now(), l.inst.raft.LastIndex()
	var all []member
	for _, s := range l.inst.servers() {
		m := member{id: catalog.GatewayID(s.ID), voter: s.Suffrage == raft.Voter, lastIndex: last}
		gateway, ok := view.Gateway(m.id)
		m.inCatalog, m.datacenter = ok, gateway.Datacenter
		m.abstains = l.abstains(m.id, now)
		if m.id == l.node.cfg.ID {
			m.leader, m.healthy = true, true
		} else {
			c := contacts[s.ID]
			m.lastIndex = c.lastIndex
			m.healthy = c.term == l.term && now.Sub(c.at) <= l.inst.timers.contactThreshold() &&
				c.lastIndex >= l.firstIndex && c.lastIndex+maxTrailing >= last
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.id, b.id) })
	return all
}

// lacksQuorum reports whether too few voters are healthy to commit an entry.
func lacksQuorum(members []member) bool {
	voters, healthy := 0, 0
	for _, m := range members {
		if !m.voter {
			continue
		}
		voters++
		if m.healthy {
			healthy++
		}
	}
	return healthy <= voters/2
}

// without returns members except the one with the id.
func without(members []member, id catalog.GatewayID) []member {
	return slices.DeleteFunc(slices.Clone(members), func(m member) bool { return m.id == id })
}

// successor returns the member to lead next: of the healthy voters in the
// catalog, the one with the most entries. Empty: there is none.
func successor(members []member) catalog.GatewayID {
	var best member
	for _, m := range members {
		if !m.voter || !m.healthy || !m.inCatalog || m.leader || m.abstains {
			continue
		}
		if best.id == "" || m.lastIndex > best.lastIndex {
			best = m
		}
	}
	return best.id
}

// membershipPlan is the difference between the raft configuration and the
// catalog.
type membershipPlan struct {
	add          []catalog.GatewayID // as non-voters
	remove       []catalog.GatewayID
	deferred     []catalog.GatewayID // to be removed when the others have a quorum without them
	leaderLeaves bool                // the leader has left the catalog or abstains: another member must lead
}

// planMembership compares the members with the gateways of the catalog. Without
// gateways the catalog is not known yet, and the plan is empty.
func planMembership(members []member, gateways []catalog.GatewayID) membershipPlan {
	var plan membershipPlan
	if len(gateways) == 0 {
		return plan
	}
	present := make(map[catalog.GatewayID]bool, len(members))
	for _, m := range members {
		present[m.id] = true
	}
	for _, id := range gateways {
		if !present[id] {
			plan.add = append(plan.add, id)
		}
	}
	rest := members
	for _, m := range members {
		switch {
		case m.leader:
			plan.leaderLeaves = !m.inCatalog || m.abstains
		case m.inCatalog:
		case m.voter && lacksQuorum(without(rest, m.id)):
			plan.deferred = append(plan.deferred, m.id)
		default:
			plan.remove = append(plan.remove, m.id)
			rest = without(rest, m.id)
		}
	}
	return plan
}

// planVoters returns the changes of votes. The voters should be the largest odd
// number, at most maxVoters, of the members that vote already or are stable, one
// of each datacenter before a second of any. The number is odd because an even
// number of voters survives no more losses than one voter less; of two members
// one votes until there can be three voters.
//
// A voter that does not answer keeps its vote: in a partition, a voter that was
// demoted on one side could not replace the other side if that is lost. It loses
// its vote only when its gateway leaves the catalog or is about to. While a voter
// does not answer or is about to be removed, no voter is demoted.
func planVoters(members []member) (promote, demote []catalog.GatewayID) {
	leaderLeaves, mayDemote := false, true
	var eligible []member
	for _, m := range members {
		leaderLeaves = leaderLeaves || m.leader && (!m.inCatalog || m.abstains)
		mayDemote = mayDemote && (!m.voter || m.abstains || m.inCatalog && m.healthy)
	}
	for _, m := range members {
		// The successor of a leader that leaves need not be stable.
		ready := m.stable || leaderLeaves && m.healthy
		if m.inCatalog && !m.abstains && (m.voter || ready) {
			eligible = append(eligible, m)
		}
	}
	target := min(len(eligible), maxVoters)
	if target%2 == 0 {
		target--
	}
	chosen := chooseVoters(eligible, target)
	for _, m := range members {
		switch {
		case chosen[m.id] && !m.voter:
			promote = append(promote, m.id)
		case !chosen[m.id] && m.voter && m.inCatalog && !m.leader && len(chosen) > 0:
			demote = append(demote, m.id)
		}
	}
	if len(promote) > 0 || !mayDemote {
		demote = nil // all promotions come before the first demotion
	}
	return promote, demote
}

// chooseVoters picks count members one by one: the leader first, then always one
// of a datacenter with the fewest picked so far, voters before non-voters, then
// in the order of ids.
func chooseVoters(eligible []member, count int) map[catalog.GatewayID]bool {
	chosen := make(map[catalog.GatewayID]bool)
	perDatacenter := make(map[catalog.DatacenterName]int)
	rest := slices.Clone(eligible)
	for len(chosen) < count {
		best := slices.MinFunc(rest, func(a, b member) int {
			return cmp.Or(
				-compareBool(a.leader, b.leader),
				cmp.Compare(perDatacenter[a.datacenter], perDatacenter[b.datacenter]),
				-compareBool(a.voter, b.voter),
				cmp.Compare(a.id, b.id),
			)
		})
		chosen[best.id] = true
		perDatacenter[best.datacenter]++
		rest = without(rest, best.id)
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
