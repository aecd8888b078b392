package raftnode

import (
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/hclogger"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
	"github.com/meshway/meshway/consensus/raftnode/internal/voting"
)

// newAutopilot creates the autopilot of one term. It executes what quorum.PlanVoters
// decides; members are added and removed by reconcileMembership.
func newAutopilot(lead *leadership) *autopilot.Autopilot {
	timers := lead.inst.timers
	return voting.New(voting.Config{
		ID: lead.node.cfg.ID, Raft: lead.inst.raft, Leader: lead,
		Interval:         timers.HeartbeatTimeout,
		ContactThreshold: timers.contactThreshold(),
		Stabilization:    timers.stabilization(),
		ChangeTimeout:    timers.ElectionTimeout,
		MaxTrailing:      maxTrailing,
		Log:              hclogger.New(lead.node.log),
	})
}

var _ voting.Leader = (*leadership)(nil)

// Gateways implements voting.Leader.
func (l *leadership) Gateways() []catalog.Gateway { return l.node.View().Gateways() }

// HealthChecked implements voting.Leader.
func (l *leadership) HealthChecked() { l.checkMembership() }

// Stats implements voting.Leader. The last term of a server is this one when its log
// has entries of this term, else unknown (0).
func (l *leadership) Stats(id raft.ServerID) *autopilot.ServerStats {
	if id == raft.ServerID(l.node.cfg.ID) {
		return &autopilot.ServerStats{LastTerm: l.term, LastIndex: l.inst.raft.LastIndex()}
	}
	contacts, _ := l.node.contacts.All()
	c := contacts[id]
	s := &autopilot.ServerStats{LastContact: time.Since(c.At), LastIndex: c.LastIndex}
	if c.Term == l.term && c.LastIndex >= l.firstIndex {
		s.LastTerm = c.Term
	}
	return s
}

// PlanVoters implements voting.Leader.
func (l *leadership) PlanVoters(state *autopilot.State) (promote, demote []catalog.GatewayID) {
	return quorum.PlanVoters(l.stableMembers(state))
}

// Exclusively implements voting.Leader.
func (l *leadership) Exclusively(change func() raft.IndexFuture) raft.IndexFuture {
	n := l.node
	n.reconfiguration.lock()
	defer n.reconfiguration.unlock()
	if n.leadership.Load() != l {
		return voting.Failed(consensus.ErrNotLeader)
	}
	return change()
}

// stableMembers is members, with stable set from the state of autopilot.
func (l *leadership) stableMembers(state *autopilot.State) []quorum.Member {
	members := l.members()
	now := time.Now()
	for i := range members {
		m := &members[i]
		if s, ok := state.Servers[raft.ServerID(m.ID)]; ok {
			m.Stable = m.Healthy && s.Health.IsStable(now, l.inst.timers.stabilization())
		}
	}
	return members
}
