package raftnode

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Status returns this member's view of the replication. It does not block.
func (n *Node) Status() consensus.Status {
	index, _ := n.fsm.Applied()
	s := consensus.Status{
		AppliedIndex: index, LastContact: -1, Timers: n.timers.Load().Name,
		Refused: n.safeguards.senders.Refused(), RefusedCommands: n.safeguards.requests.Refused(),
	}
	inst, lead := n.serving()
	if inst == nil {
		return s
	}
	s.Role = strings.ToLower(inst.raft.State().String())
	s.Leader = inst.leader()
	s.Term = inst.raft.CurrentTerm()
	s.CommitIndex = inst.raft.CommitIndex()
	s.LastContact = n.lastContact(inst)
	if lead != nil {
		s.Peers = lead.peers(s.Leader)
	} else {
		s.Peers = inst.peers(s.Leader)
	}
	return s
}

// peers lists the members as a follower has them: without their health.
func (i *instance) peers(leader catalog.GatewayID) []consensus.Peer {
	var peers []consensus.Peer
	for _, s := range i.servers() {
		id := catalog.GatewayID(s.ID)
		peers = append(peers, consensus.Peer{ID: id, Voter: s.Suffrage == raft.Voter, Leader: id == leader, LastContact: -1})
	}
	slices.SortFunc(peers, func(a, b consensus.Peer) int { return cmp.Compare(a.ID, b.ID) })
	return peers
}

// peers lists the members as the leader has them.
func (l *leadership) peers(leader catalog.GatewayID) []consensus.Peer {
	contacts, _ := l.node.contacts.All()
	var peers []consensus.Peer
	for _, m := range l.members() {
		p := consensus.Peer{
			ID:          m.ID,
			Voter:       m.Voter,
			Leader:      m.ID == leader,
			Healthy:     m.Healthy,
			LastContact: -1,
			LastIndex:   m.LastIndex,
		}
		if c, answered := contacts[raft.ServerID(m.ID)]; answered {
			p.LastContact = time.Since(c.At)
		}
		if p.Leader {
			p.LastContact = 0
		}
		peers = append(peers, p)
	}
	return peers
}
