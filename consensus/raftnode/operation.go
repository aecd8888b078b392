package raftnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// LeaderOperation is the leader's side of Remote.LeaderOperation. It fails with
// ErrNotLeader or ErrRejected when nothing was done.
func (n *Node) LeaderOperation(ctx context.Context, op consensus.LeaderOperation) error {
	inst, lead := n.serving()
	if lead == nil {
		return consensus.ErrNotLeader
	}
	switch op.Kind {
	case consensus.TransferLeadership:
		return n.transferLeadership(inst, lead, op.Target)
	case consensus.RemoveMember:
		return n.removeMember(inst, lead, op.Target)
	case consensus.RestoreArchive:
		return n.restoreHere(ctx, inst, op.Archive)
	case consensus.Abstain:
		lead.abstain(op.Target, time.Now())
		return nil
	default:
		return fmt.Errorf("%w: unknown operation %q: the leader runs an older version", consensus.ErrRejected, op.Kind)
	}
}

// TransferLeader makes to the leader; empty: a healthy voter that the leader
// chooses. Any member may be asked.
func (n *Node) TransferLeader(ctx context.Context, to catalog.GatewayID) error {
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: to}, false)
}

// RemovePeer takes a member out of raft's configuration, for one that is dead
// and whose vote blocks others. While its gateway is in the catalog it is taken
// in again as a non-voter, and gets a vote only if it comes back.
func (n *Node) RemovePeer(ctx context.Context, id catalog.GatewayID) error {
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: id}, false)
}

// operate runs op on the leader, here or elsewhere.
func (n *Node) operate(ctx context.Context, op consensus.LeaderOperation, once bool) error {
	ctx, cancel := context.WithTimeout(ctx, n.conf.ProposeTimeout)
	defer cancel()
	err := n.withLeader(ctx, attempt{
		once: once,
		here: func(ctx context.Context) error { return n.LeaderOperation(ctx, op) },
		there: func(ctx context.Context, leader catalog.GatewayID) error {
			return n.conf.Remote.LeaderOperation(ctx, leader, op)
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", op.Kind, err)
	}
	return nil
}

func (n *Node) transferLeadership(inst *instance, lead *leadership, to catalog.GatewayID) error {
	members := n.members(inst, lead)
	if to == n.conf.ID {
		return nil // it leads already
	}
	if to == "" {
		to = successor(members)
	}
	if to == "" {
		return reject(inst, lead, errors.New("no other healthy voter: see meshctl raft list-peers"))
	}
	if err := eligible(members, to); err != nil {
		return reject(inst, lead, err)
	}
	if err := n.transferTo(inst, to); err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
	}
	return nil
}

// eligible says why to cannot lead.
func eligible(members []member, to catalog.GatewayID) error {
	for _, m := range members {
		switch {
		case m.id != to:
		case !m.voter:
			return fmt.Errorf("%s has no vote: choose a voter", to)
		case !m.healthy:
			return fmt.Errorf("%s does not answer or is behind: choose a healthy voter", to)
		default:
			return nil
		}
	}
	return notMember(to)
}

func notMember(id catalog.GatewayID) error {
	return fmt.Errorf("%s is not a member: see meshctl raft list-peers", id)
}

// reject is the leader's no. One that leads for less time than it takes to hear
// from everybody cannot tell who is healthy yet: it asks to be asked again.
func reject(inst *instance, lead *leadership, err error) error {
	if time.Since(lead.began) < inst.timers.contactThreshold() {
		return fmt.Errorf("%w for long: %w", consensus.ErrNotLeader, err)
	}
	return fmt.Errorf("%w: %w", consensus.ErrRejected, err)
}

// removeMember removes any member but the leader, which hands over and lets its
// successor do it.
func (n *Node) removeMember(inst *instance, lead *leadership, id catalog.GatewayID) error {
	if id == n.conf.ID {
		if err := n.transferLeadership(inst, lead, ""); err != nil {
			return err
		}
		return fmt.Errorf("%w: handed over to remove %s", consensus.ErrNotLeader, id)
	}
	n.reconfiguring <- struct{}{}
	defer func() { <-n.reconfiguring }()
	members := n.members(inst, lead)
	rest := without(members, id)
	if len(rest) == len(members) {
		return reject(inst, lead, notMember(id))
	}
	if withoutQuorum(rest) {
		return reject(inst, lead, fmt.Errorf("without %s the remaining voters have no quorum: bring one back first", id))
	}
	err := inst.raft.RemoveServer(raft.ServerID(id), 0, inst.timers.Election).Error()
	if err == nil {
		n.log.Info("membership changed", "change", "remove", "peer", id, "by", "operator")
		return nil
	}
	if errors.Is(err, raft.ErrNotLeader) {
		return translate(err)
	}
	return fmt.Errorf("remove %s: %w", id, translate(err))
}
