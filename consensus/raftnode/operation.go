package raftnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
)

// LeaderOperation is the leader's side of consensus.Remote.LeaderOperation. It
// fails with consensus.ErrNotLeader or ErrRejected when it had no effect.
func (n *Node) LeaderOperation(ctx context.Context, op consensus.LeaderOperation) error {
	_, lead := n.serving()
	if lead == nil {
		return consensus.ErrNotLeader
	}
	if op.Kind == consensus.Abstain { // it concerns only the datacenter of op.From
		lead.abstain(op.Target, time.Now())
		return nil
	}
	log := n.log.With("operation", op.Kind, "gateway", op.Target, "from", op.From)
	err := n.executeOperation(ctx, lead, op)
	switch {
	case err == nil:
		log.Info("executed a leader operation")
	case errors.Is(err, consensus.ErrUncertain):
		log.Warn("failed to execute a leader operation", "err", err)
	default: // without an effect; another member can repeat it without a limit
		log.Debug("refused a leader operation", "err", err)
	}
	return err
}

func (n *Node) executeOperation(ctx context.Context, lead *leadership, op consensus.LeaderOperation) error {
	err := n.safeguards.requests.Operation(n.cfg.ID, n.View(), op, time.Now())
	if err != nil {
		return err
	}
	switch op.Kind {
	case consensus.TransferLeadership:
		err = lead.transfer(ctx, op)
	case consensus.RemoveMember:
		err = lead.removeMember(ctx, op)
	default:
		err = fmt.Errorf("%w: unknown operation %q: the leader runs an older version", consensus.ErrRejected, op.Kind)
	}
	// To remove the leader begins with a transfer, after which it is not the leader.
	_, still := n.serving()
	if err == nil || errors.Is(err, consensus.ErrUncertain) || still == nil {
		n.safeguards.requests.Spend(budget.Operations, op.From.Datacenter(), n.View(), time.Now())
	}
	return err
}

// TransferLeader makes the gateway to the leader; empty: a healthy voter that the
// leader chooses. It may be called on any member.
func (n *Node) TransferLeader(ctx context.Context, to catalog.GatewayID) error {
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: to})
}

// StepDown transfers leadership to a healthy voter, if this member has it. The catalog
// does not record it: an older build could not read that after a drain.
func (n *Node) StepDown(ctx context.Context) error {
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.TransferLeadership, Own: true})
}

// RemovePeer removes a member from raft's configuration. It is for a member that
// is dead and whose vote blocks the others. While its gateway is in the catalog
// it is added again as a non-voter, and gets a vote only if it answers again.
func (n *Node) RemovePeer(ctx context.Context, id catalog.GatewayID) error {
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: id})
}

// operate executes op on the leader, which may be this member.
func (n *Node) operate(ctx context.Context, op consensus.LeaderOperation) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	op.From = n.cfg.ID
	err := n.callLeader(ctx, leaderCall{
		local: func(ctx context.Context) error { return n.LeaderOperation(ctx, op) },
		remote: func(ctx context.Context, leader catalog.GatewayID) error {
			if op.Own {
				return nil // another member leads
			}
			return n.cfg.Remote.LeaderOperation(ctx, leader, op)
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", op.Kind, err)
	}
	return nil
}

// record writes an operation to the catalog before it is executed, if all gateways support
// it: for the events of every member, and for the budget of the next leader.
func (l *leadership) record(ctx context.Context, op consensus.LeaderOperation) error {
	if op.Own || catalog.LevelsOf(l.node.View().Gateways()).Common < catalog.LevelLimits {
		return nil
	}
	cmd := consensus.OperationCommand(op)
	cmd.Author, cmd.At = string(op.From), timestamppb.New(l.node.cfg.Host.Now())
	results, err := l.node.writeAsLeader(ctx, []*catalogpb.Command{cmd})
	if err == nil && results[0].Refusal != nil {
		err = fmt.Errorf("%w: %w", consensus.ErrRejected, results[0].Refusal)
	}
	return err
}

// transfer transfers leadership to op.Target, a healthy voter; empty: any.
func (l *leadership) transfer(ctx context.Context, op consensus.LeaderOperation) error {
	if op.Target == l.node.cfg.ID {
		return nil // it leads already
	}
	var err error
	if op.Target, err = quorum.NextLeader(l.members(), op.Target); err != nil {
		return l.reject(err)
	}
	if err := l.record(ctx, op); err != nil {
		return err
	}
	if err := l.transferTo(op.Target); err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
	}
	return nil
}

// reject returns the error of an operation that must not be executed. A leader that is
// new does not have the health of all members yet, so that the caller has to retry.
func (l *leadership) reject(err error) error {
	if time.Since(l.began) < l.inst.timers.contactThreshold() {
		return fmt.Errorf("%w for long enough: %w", consensus.ErrNotLeader, err)
	}
	return fmt.Errorf("%w: %w", consensus.ErrRejected, err)
}

// removeMember removes a member that does not answer.
func (l *leadership) removeMember(ctx context.Context, op consensus.LeaderOperation) error {
	l.node.reconfiguration.lock()
	defer l.node.reconfiguration.unlock()
	if time.Since(l.began) < l.inst.timers.contactThreshold() { // the health of the others is not known yet
		return fmt.Errorf("%w for long enough to remove %s", consensus.ErrNotLeader, op.Target)
	}
	if err := quorum.CheckRemoval(l.members(), op.Target); err != nil {
		return l.reject(err)
	}
	if err := l.record(ctx, op); err != nil {
		return err
	}
	err := l.inst.raft.RemoveServer(raft.ServerID(op.Target), 0, l.inst.timers.ElectionTimeout).Error()
	if err == nil {
		l.node.log.Info("changed raft's members on request", "change", "remove", "gateway", op.Target)
		return nil
	}
	if errors.Is(err, raft.ErrNotLeader) {
		return translate(err)
	}
	return fmt.Errorf("remove %s: %w", op.Target, translate(err))
}
