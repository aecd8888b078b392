package raftnode

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
	"github.com/meshway/meshway/consensus/sharedcall"
)

// roundsAtOnce is more than one, so that on a long path a reader does not wait for the
// whole round of others.
const roundsAtOnce = 4

// leadership is one term in which this member leads.
type leadership struct {
	node       *Node
	inst       *instance
	term       uint64
	began      time.Time
	firstIndex uint64 // a member whose log reaches this index has entries of this term
	autopilot  *autopilot.Autopilot
	check      chan struct{}                        // size 1; see checkMembership
	rounds     sharedcall.Group[struct{}, struct{}] // see confirm
	moves      time.Time                            // not before; used by maintainMembership only

	mu         sync.Mutex                           // guards all following fields
	abstaining map[catalog.DatacenterName]time.Time // until when
}

// serving returns the running instance, or nil, and the term in which this
// member leads, or nil. A new leader serves when its first barrier is applied:
// before, it does not have the commit index.
func (n *Node) serving() (*instance, *leadership) {
	inst, lead := n.instance.Load(), n.leadership.Load()
	if inst == nil || lead == nil || inst.raft.State() != raft.Leader || inst.raft.CurrentTerm() != lead.term {
		return inst, nil
	}
	return inst, lead
}

// watchLeadership runs the duties of the leader while this member leads. It acts
// on raft's state and term; LeaderCh only wakes it.
func (n *Node) watchLeadership(ctx context.Context, inst *instance) {
	var duties sync.WaitGroup
	var term uint64
	stop := func() {}
	defer func() {
		stop()
		duties.Wait()
	}()
	for {
		leads, now := inst.raft.State() == raft.Leader, inst.raft.CurrentTerm()
		if err := inst.setHeartbeats(leads); err != nil { // first: the candidates wait for the vote of this member
			n.log.Error("failed to change raft's heartbeat timeout", "err", err)
		}
		if term != 0 && (!leads || now != term) {
			stop()
			duties.Wait()
			term = 0
			n.log.Info("this gateway lost the leadership of the catalog")
		}
		if leads && term == 0 {
			term = now
			leading, cancel := context.WithCancel(ctx)
			stop = cancel
			n.log.Info("this gateway won the leadership of the catalog", "term", term)
			duties.Go(func() { n.lead(leading, inst, now) })
		}
		select {
		case <-inst.raft.LeaderCh():
		case <-ctx.Done():
			return
		}
	}
}

// lead runs the duties of one term. When the barrier is applied, so is all that
// earlier leaders acknowledged, and reads may be answered. The barrier is
// announced, because it commits the last entries of the earlier leaders: the
// followers have them without having learned of their commit.
func (n *Node) lead(ctx context.Context, inst *instance, term uint64) {
	for {
		err := inst.raft.Barrier(inst.timers.ElectionTimeout).Error()
		if err == nil {
			break
		}
		// Raft refuses it also while it ends an earlier transfer, or if its queue is full.
		if inst.raft.State() != raft.Leader || inst.raft.CurrentTerm() != term || !sleep(ctx, minBackoff) {
			n.log.Debug("this gateway lost the leadership of the catalog before the first barrier", "term", term, "err", err)
			return
		}
	}
	inst.announcer.Committed()
	lead := &leadership{
		node:       n,
		inst:       inst,
		term:       term,
		began:      time.Now(),
		firstIndex: inst.raft.LastIndex(),
		check:      make(chan struct{}, 1),
	}
	lead.rounds.Do, lead.rounds.AtOnce = lead.confirmTogether, roundsAtOnce
	lead.autopilot = newAutopilot(lead)
	n.leadership.Store(lead)
	defer n.leadership.Store(nil)
	lead.autopilot.Start(ctx)
	defer func() { <-lead.autopilot.Stop() }()
	lead.maintainMembership(ctx)
}

// handOver transfers leadership before this member stops, so that the others
// need no election.
func (n *Node) handOver(inst *instance) {
	if inst.raft.State() != raft.Leader {
		return
	}
	lead := &leadership{node: n, inst: inst, term: inst.raft.CurrentTerm()}
	to := quorum.Successor(lead.members())
	if to == "" {
		return
	}
	if err := lead.transferTo(to); err != nil {
		n.log.Warn("failed to transfer the leadership of the catalog; the other members will elect a leader", "err", err)
	}
}
