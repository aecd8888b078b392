package raftnode

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// Read returns a view of the local copy that is as current as mode requires. It
// fails with consensus.ErrNoLeader, unless mode is consensus.StaleRead.
func (n *Node) Read(ctx context.Context, mode consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	if mode != consensus.StaleRead {
		if err := n.awaitCurrent(ctx, mode == consensus.LeaseRead); err != nil {
			return nil, n.freshness(n.View()), fmt.Errorf("read the catalog: %w", err)
		}
	}
	view := n.View()
	return view, n.freshness(view), nil
}

// awaitCurrent waits until the local copy has all that was written before the
// call.
func (n *Node) awaitCurrent(ctx context.Context, lease bool) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	var index uint64
	err := n.callLeader(ctx, leaderCall{
		local: func(ctx context.Context) (err error) {
			index, err = n.ReadIndex(ctx, lease)
			return err
		},
		remote: func(ctx context.Context, leader catalog.GatewayID) (err error) {
			index, err = n.cfg.Remote.ReadIndex(ctx, leader, lease)
			if err != nil && !consensus.HadNoEffect(err) {
				err = notLeader(err) // a read has no effect
			}
			return err
		},
	})
	if err != nil {
		return err
	}
	if err := n.waitApplied(ctx, index); err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrNoLeader, err)
	}
	return nil
}

// ReadIndex is the leader's side of consensus.Remote.ReadIndex: a copy that has
// the command with that index has all that was written before the call. It fails
// with consensus.ErrNotLeader.
//
// The index is that of the last command that was applied here before leadership
// was confirmed. What this leader acknowledged it had applied, and what earlier
// leaders acknowledged was applied before it served (the barrier in Node.lead).
func (n *Node) ReadIndex(ctx context.Context, lease bool) (uint64, error) {
	_, lead := n.serving()
	if lead == nil {
		return 0, consensus.ErrNotLeader
	}
	index, _ := n.fsm.Applied()
	if lease && lead.holdsLease() { // after the index was read
		return index, nil
	}
	if err := lead.confirm(ctx); err != nil {
		return 0, err
	}
	return index, nil
}

// confirm waits until a quorum has acknowledged that this member leads.
// VerifyLeader is not enough: it counts the answers of non-voters too, so that
// members without a vote could confirm a leader on the wrong side of a partition.
// The answers of voters to messages that were sent after the call are therefore
// counted here.
//
// The callers that wait share a round, which begins after they called.
func (l *leadership) confirm(ctx context.Context) error {
	_, err := l.rounds.Call(ctx, struct{}{}, 0)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: no quorum answers: %w", consensus.ErrNotLeader, err)
	}
	return err
}

// confirmTogether makes one round for several callers of confirm.
func (l *leadership) confirmTogether(ctx context.Context, callers []struct{}) ([]struct{}, error) {
	return callers, l.round(ctx)
}

// round waits until a quorum has answered messages that are sent from now on.
func (l *leadership) round(ctx context.Context) error {
	contacts := l.node.contacts
	round := contacts.NextRound()
	l.inst.raft.VerifyLeader() // raft sends them; its result is not awaited: it may never give one
	ctx, cancel := context.WithTimeout(ctx, l.inst.timers.Lease)
	defer cancel()
	for {
		all, changed := contacts.All()
		if transport.QuorumAnswered(l.inst.servers(), l.node.cfg.ID, all, l.term, round) {
			return nil
		}
		if l.inst.raft.CurrentTerm() != l.term {
			return notLeader(raft.ErrLeadershipLost)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: no quorum answers", consensus.ErrNotLeader)
		case <-l.node.life.done:
			return consensus.ErrClosed
		}
	}
}

func (n *Node) freshness(view *replica.View) consensus.Freshness {
	f := consensus.Freshness{Index: view.Index(), LastContact: -1}
	if inst := n.instance.Load(); inst != nil {
		f.Leader = inst.leader()
		f.LastContact = n.lastContact(inst)
	}
	return f
}

// lastContact returns the time since the last message of a leader: 0 on a leader
// that holds its lease, negative if there was none.
func (n *Node) lastContact(i *instance) time.Duration {
	if i.raft.State() == raft.Leader {
		return n.leaseOverdue(i)
	}
	last := i.raft.LastContact()
	if last.IsZero() {
		return -1
	}
	return time.Since(last)
}
