package raftnode

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus/catalog"
)

// leadership is one term in which this member leads.
type leadership struct {
	term  uint64
	began time.Time
	start uint64 // a member whose log reaches this index has entries of this term
	pilot *autopilot.Autopilot
	wake  chan struct{} // size 1: look at the membership again

	mu         sync.Mutex                           // guards all following fields
	abstaining map[catalog.DatacenterName]time.Time // until when
}

// serving returns raft and the term that this member leads now, or nil for the
// latter: then it is no leader, or one that does not know yet what is committed.
func (n *Node) serving() (*instance, *leadership) {
	inst, lead := n.instance.Load(), n.leading.Load()
	if inst == nil || lead == nil || inst.raft.State() != raft.Leader || inst.raft.CurrentTerm() != lead.term {
		return inst, nil
	}
	return inst, lead
}

// watchLeadership does the leader's duties while this member leads. The channel
// only says "look": what counts is raft's state and term at that moment.
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
		if err := inst.pace(leads); err != nil { // before anything that takes time: others wait for us to vote
			n.log.Error("cannot change the pace of heartbeats", "err", err)
		}
		if term != 0 && (!leads || now != term) {
			stop()
			duties.Wait()
			term = 0
			n.log.Info("leadership lost")
		}
		if leads && term == 0 {
			term = now
			leading, cancel := context.WithCancel(ctx)
			stop = cancel
			n.log.Info("leadership won", "term", term)
			duties.Go(func() { n.lead(leading, inst, now) })
		}
		select {
		case <-inst.raft.LeaderCh():
		case <-ctx.Done():
			return
		}
	}
}

// lead does the duties of one term. The barrier comes first: once it is applied,
// so is all that earlier leaders acknowledged, and reads may be answered. It is
// announced, because it commits the last entries of the earlier leaders: the
// followers have them, but not that they are committed.
func (n *Node) lead(ctx context.Context, inst *instance, term uint64) {
	if err := inst.raft.Barrier(inst.timers.Election).Error(); err != nil {
		n.log.Debug("no barrier, leadership was short", "term", term, "err", err)
		return
	}
	inst.hasNews()
	lead := &leadership{term: term, began: time.Now(), start: inst.raft.LastIndex(), wake: make(chan struct{}, 1)}
	lead.pilot = n.newPilot(inst, lead)
	n.leading.Store(lead)
	defer n.leading.Store(nil)
	lead.pilot.Start(ctx)
	defer func() { <-lead.pilot.Stop() }()
	n.keepMembership(ctx, inst, lead)
}

// keepMembership makes raft's members those of the catalog. It looks again when
// the catalog changes and whenever autopilot has looked at everybody's health.
func (n *Node) keepMembership(ctx context.Context, inst *instance, lead *leadership) {
	for {
		changed := n.Changed()
		n.reconcileMembership(ctx, inst, lead)
		select {
		case <-changed:
		case <-lead.wake:
		case <-ctx.Done():
			return
		}
	}
}
