package raftnode

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// maxTrailing is how many entries a healthy member may lack.
const maxTrailing = 1000

// maxVoters bounds the voters: more of them survive more losses, and each makes
// a commit wait for one more answer.
const maxVoters = 5

// member is one server of the raft configuration as the leader judges it.
type member struct {
	id         catalog.GatewayID
	datacenter catalog.DatacenterName
	voter      bool
	leader     bool
	known      bool // in the catalog; else it has left and is to be removed
	abstains   bool // its datacenter is about to leave: it shall not vote
	healthy    bool // answers and is nearly up to date
	stable     bool // has been healthy for the stabilization time
	lastIndex  uint64
}

// members judges everybody now, sorted by id.
func (n *Node) members(inst *instance, lead *leadership) []member {
	peers, _ := n.contacts.snapshot()
	view, now, last := n.View(), time.Now(), inst.raft.LastIndex()
	var all []member
	for _, s := range inst.raft.GetConfiguration().Configuration().Servers {
		m := member{id: catalog.GatewayID(s.ID), voter: s.Suffrage == raft.Voter, lastIndex: last}
		gateway, known := view.Gateway(m.id)
		m.known, m.datacenter = known, gateway.Datacenter
		m.abstains = lead.abstains(m.id, now)
		if m.id == n.conf.ID {
			m.leader, m.healthy = true, true
		} else {
			c := peers[s.ID]
			m.lastIndex = c.lastIndex
			m.healthy = c.term == lead.term && now.Sub(c.at) <= inst.timers.contactThreshold() &&
				c.lastIndex >= lead.start && c.lastIndex+maxTrailing >= last
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.id, b.id) })
	return all
}

// withoutQuorum says whether the voters in rest could not decide, had they to.
func withoutQuorum(rest []member) bool {
	voters, healthy := 0, 0
	for _, m := range rest {
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

func without(members []member, id catalog.GatewayID) []member {
	return slices.DeleteFunc(slices.Clone(members), func(m member) bool { return m.id == id })
}

// successor picks who should lead next: a healthy voter of the catalog, the most
// current one. Empty: nobody can.
func successor(members []member) catalog.GatewayID {
	var best member
	for _, m := range members {
		if !m.voter || !m.healthy || !m.known || m.leader || m.abstains {
			continue
		}
		if best.id == "" || m.lastIndex > best.lastIndex {
			best = m
		}
	}
	return best.id
}

// changes is what the raft configuration lacks to match the catalog.
type changes struct {
	add      []catalog.GatewayID // as non-voters
	remove   []catalog.GatewayID
	deferred []catalog.GatewayID // to be removed, but the others could not decide without them
	handOver bool                // the leader itself has left: somebody else must remove it
}

// planMembership compares. gateways are the ids in the catalog; none at all means
// that the catalog is not there yet, which is no reason to remove anybody.
func planMembership(members []member, gateways []catalog.GatewayID) changes {
	var c changes
	if len(gateways) == 0 {
		return c
	}
	present := make(map[catalog.GatewayID]bool, len(members))
	for _, m := range members {
		present[m.id] = true
	}
	for _, id := range gateways {
		if !present[id] {
			c.add = append(c.add, id)
		}
	}
	rest := members
	for _, m := range members {
		switch {
		case m.leader:
			c.handOver = !m.known || m.abstains
		case m.known:
		case m.voter && withoutQuorum(without(rest, m.id)):
			c.deferred = append(c.deferred, m.id)
		default:
			c.remove = append(c.remove, m.id)
			rest = without(rest, m.id)
		}
	}
	return c
}

// planVoters decides who should have a vote: the largest odd number, at most
// maxVoters, of those that have one or are stable; one of each datacenter before
// a second of any. Odd, because an even number survives no more losses than the
// one below it; two survive none at all, so that one voter is kept until there
// can be three.
//
// A voter that does not answer keeps its vote: it may be a partition, and voters
// that are taken away on one side cannot help when the other side is lost too.
// It loses it only when its gateway leaves the catalog, or is about to. And as long as any voter
// does not answer, or is about to be removed, nobody is demoted.
func planVoters(members []member) (promote, demote []catalog.GatewayID) {
	leaderLeaves, calm := false, true
	var eligible []member
	for _, m := range members {
		leaderLeaves = leaderLeaves || m.leader && (!m.known || m.abstains)
		calm = calm && (!m.voter || m.abstains || m.known && m.healthy)
	}
	for _, m := range members {
		// A leader that leaves cannot wait for a heir to prove stable.
		ready := m.stable || leaderLeaves && m.healthy
		if m.known && !m.abstains && (m.voter || ready) {
			eligible = append(eligible, m)
		}
	}
	target := min(len(eligible), maxVoters)
	if target%2 == 0 {
		target--
	}
	chosen := spread(eligible, target)
	for _, m := range members {
		switch {
		case chosen[m.id] && !m.voter:
			promote = append(promote, m.id)
		case !chosen[m.id] && m.voter && m.known && !m.leader && len(chosen) > 0:
			demote = append(demote, m.id)
		}
	}
	if len(promote) > 0 || !calm {
		demote = nil // first all that have to come, then those that may go
	}
	return promote, demote
}

// spread picks count members: again and again one of a datacenter that has the
// fewest picked, the leader first, then those that vote already, then by id.
func spread(eligible []member, count int) map[catalog.GatewayID]bool {
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
