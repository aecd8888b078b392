package consensus

import (
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// Status is how this member stands. It never blocks.
type Status struct {
	Role          string // leader, follower, candidate; empty: not running
	Leader        catalog.GatewayID
	Term          uint64
	LastContact   time.Duration // since the leader was heard; 0 on the leader, negative: never
	CommitIndex   uint64
	AppliedIndex  uint64 // of the own copy: the last command
	Voters        int
	HealthyVoters int // on the leader; -1: not known here
	Timers        string
}

// Peer is one member of raft's configuration.
type Peer struct {
	ID          catalog.GatewayID
	Voter       bool
	Leader      bool
	Healthy     bool          // on the leader only
	LastContact time.Duration // on the leader only; negative: not known
	LastIndex   uint64        // on the leader only
}

// Status returns how this member stands now.
func (n *Node) Status() Status {
	index, _ := n.machine.applied()
	s := Status{AppliedIndex: index, LastContact: -1, HealthyVoters: -1, Timers: n.timers.Load().Name}
	inst, lead := n.serving()
	if inst == nil {
		return s
	}
	s.Role = strings.ToLower(inst.raft.State().String())
	_, leader := inst.raft.LeaderWithID()
	s.Leader = catalog.GatewayID(leader)
	s.Term = inst.raft.CurrentTerm()
	s.CommitIndex = inst.raft.CommitIndex()
	s.LastContact = lastContact(inst.raft, time.Now())
	for _, server := range inst.raft.GetConfiguration().Configuration().Servers {
		if server.Suffrage == raft.Voter {
			s.Voters++
		}
	}
	if lead != nil {
		s.HealthyVoters = healthyVoters(n.members(inst, lead))
	}
	return s
}

func healthyVoters(members []member) int {
	count := 0
	for _, m := range members {
		if m.voter && m.healthy {
			count++
		}
	}
	return count
}

// Peers lists raft's members as known here, sorted by id. Only the leader knows
// how they are. It fails with ErrClosed when raft does not run.
func (n *Node) Peers() ([]Peer, error) {
	inst, lead := n.serving()
	if inst == nil {
		return nil, ErrClosed
	}
	leads := lead != nil
	if !leads {
		lead = &leadership{}
	}
	contacts, _ := n.contacts.snapshot()
	_, leader := inst.raft.LeaderWithID()
	var peers []Peer
	for _, m := range n.members(inst, lead) {
		p := Peer{ID: m.id, Voter: m.voter, Leader: m.id == catalog.GatewayID(leader), LastContact: -1}
		if leads {
			p.Healthy, p.LastIndex = m.healthy, m.lastIndex
			if c, heard := contacts[raft.ServerID(m.id)]; heard {
				p.LastContact = time.Since(c.at)
			}
		}
		if p.Leader && leads {
			p.LastContact = 0
		}
		peers = append(peers, p)
	}
	return peers, nil
}
