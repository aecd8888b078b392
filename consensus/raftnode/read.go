package raftnode

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Read returns a view of the own copy that is as current as mode asks. It fails
// with ErrNoLeader, unless mode is StaleRead.
func (n *Node) Read(ctx context.Context, mode consensus.ReadMode) (*catalog.View, consensus.Freshness, error) {
	if mode != consensus.StaleRead {
		if err := n.catchUp(ctx, mode == consensus.LeaseRead); err != nil {
			return nil, n.freshness(n.View()), fmt.Errorf("read the catalog: %w", err)
		}
	}
	view := n.View()
	return view, n.freshness(view), nil
}

// catchUp waits until the own copy has all that was written before the call.
func (n *Node) catchUp(ctx context.Context, lease bool) error {
	ctx, cancel := context.WithTimeout(ctx, n.conf.ProposeTimeout)
	defer cancel()
	var index uint64
	err := n.withLeader(ctx, attempt{
		here: func(ctx context.Context) (err error) {
			index, err = n.ReadIndex(ctx, lease)
			return err
		},
		there: func(ctx context.Context, leader catalog.GatewayID) (err error) {
			index, err = n.conf.Remote.ReadIndex(ctx, leader, lease)
			if err != nil && !harmless(err) {
				err = fmt.Errorf("%w: %w", consensus.ErrNotLeader, err) // a read has no effect
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

// ReadIndex is answered by the leader: a copy that has the command with that
// index has all that was written before the call. It fails with ErrNotLeader.
//
// The index is that of the last command applied here, taken before leadership
// is confirmed. That is enough: what this leader acknowledged it had applied,
// and what earlier ones did it applied before it began to answer (the barrier in
// Node.lead).
func (n *Node) ReadIndex(ctx context.Context, lease bool) (uint64, error) {
	inst, lead := n.serving()
	if lead == nil {
		return 0, consensus.ErrNotLeader
	}
	index, _ := n.machine.applied()
	if lease {
		return index, nil
	}
	if err := n.confirm(ctx, inst, lead.term); err != nil {
		return 0, err
	}
	return index, nil
}

// confirm asks a quorum whether this member still leads. VerifyLeader alone does
// not say so: it counts the answers of non-voters too, so that a leader on the
// wrong side of a partition could be confirmed by members without a vote. The
// answers of voters are therefore counted here, those to messages that were
// sent after the question.
func (n *Node) confirm(ctx context.Context, inst *instance, term uint64) error {
	round := n.contacts.nextRound()
	if err := inst.raft.VerifyLeader().Error(); err != nil {
		return translateRead(err)
	}
	ctx, cancel := context.WithTimeout(ctx, inst.timers.Lease)
	defer cancel()
	for {
		peers, changed := n.contacts.snapshot()
		if quorumAnswered(inst.raft.GetConfiguration().Configuration(), n.conf.ID, peers, term, round) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: no quorum answers", consensus.ErrNotLeader)
		case <-n.done:
			return consensus.ErrClosed
		}
	}
}

// translateRead makes any error of a read mean that nothing happened.
func translateRead(err error) error { return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err) }

// quorumAnswered counts the voters that acknowledged term in round or later;
// self counts if it votes.
func quorumAnswered(conf raft.Configuration, self catalog.GatewayID, peers map[raft.ServerID]contact, term, round uint64) bool {
	voters, answered := 0, 0
	for _, s := range conf.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		c := peers[s.ID]
		if s.ID == raft.ServerID(self) || (c.term == term && c.round >= round) {
			answered++
		}
	}
	return answered > voters/2
}

func (n *Node) freshness(view *catalog.View) consensus.Freshness {
	f := consensus.Freshness{Index: view.Index(), LastContact: -1}
	inst := n.instance.Load()
	if inst == nil {
		return f
	}
	_, leader := inst.raft.LeaderWithID()
	f.Leader = catalog.GatewayID(leader)
	f.LastContact = lastContact(inst.raft, time.Now())
	return f
}

// lastContact is 0 on the leader and negative when no leader was ever heard.
func lastContact(r *raft.Raft, now time.Time) time.Duration {
	if r.State() == raft.Leader {
		return 0
	}
	last := r.LastContact()
	if last.IsZero() {
		return -1
	}
	return now.Sub(last)
}
