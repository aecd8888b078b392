package raftnode

import (
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Status returns this member's view of the replication. It never blocks.
func (n *Node) Status() consensus.Status {
	index, _ := n.machine.applied()
	s := consensus.Status{AppliedIndex: index, LastContact: -1, Timers: n.timers.Load().Name}
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
	s.Peers = n.peers(inst, lead)
	return s
}

// peers lists the members of raft's configuration, sorted by id. Only a leader,
// for which lead is set, has their health.
func (n *Node) peers(inst *instance, lead *leadership) []consensus.Peer {
	leads := lead != nil
	if !leads {
		lead = &leadership{}
	}
	contacts, _ := n.contacts.snapshot()
	_, leader := inst.raft.LeaderWithID()
	var peers []consensus.Peer
	for _, m := range n.members(inst, lead) {
		p := consensus.Peer{ID: m.id, Voter: m.voter, Leader: m.id == catalog.GatewayID(leader), LastContact: -1}
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
	return peers
}
