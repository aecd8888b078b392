package raftnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Propose writes commands to the catalog, in order. It may be called on any
// member. It returns one result for each command, which can be a refusal, when
// the local copy has them all, so that View includes what was written. It does
// not wait for the local copy after a command that removes this member.
//
// It retries when the leader changes, until ctx or Config.ProposeTimeout ends; a
// command is applied at most once, however often it was sent. It fails with
// consensus.ErrNoLeader (which also matches ErrUncertain if something was sent),
// ErrRejected, ErrClosed or, with results, ErrBehind. The commands are not
// modified.
func (n *Node) Propose(ctx context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	results, err := n.submit(ctx, cmds)
	if err != nil {
		return results, err
	}
	if removes(cmds, n.cfg.ID) {
		return results, nil
	}
	var index uint64
	for _, r := range results {
		index = max(index, r.Index)
	}
	if err := n.waitApplied(ctx, index); err != nil {
		return results, fmt.Errorf("write to the catalog: %w: %w", consensus.ErrBehind, err)
	}
	return results, nil
}

// Submit is Propose without the wait for the local copy. It is for the command
// with which this member leaves, after which it is not sent the log.
func (n *Node) Submit(ctx context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	return n.submit(ctx, cmds)
}

func (n *Node) submit(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	var results []catalog.Result
	for _, piece := range splitCommands(cmds) {
		r, err := n.writeThroughLeader(ctx, piece)
		results = append(results, r...)
		if err != nil {
			return results, fmt.Errorf("write to the catalog: %w", err)
		}
	}
	return results, nil
}

// removes reports whether a command removes the member id: then it is not sent the
// log, and its local copy never has the command.
func removes(cmds []*catalogpb.Command, id catalog.GatewayID) bool {
	return slices.ContainsFunc(cmds, func(c *catalogpb.Command) bool {
		return c.GetLeave().GetDatacenter() == string(id.Datacenter()) || c.GetRemoveGateway().GetGateway() == string(id)
	})
}

// writeThroughLeader writes the commands of one entry.
func (n *Node) writeThroughLeader(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	stamped, release := n.session.stamp(cmds, time.Now())
	defer release()
	var results []catalog.Result
	err := n.callLeader(ctx, leaderCall{
		local: func(ctx context.Context) (err error) {
			results, err = n.writeAsLeader(ctx, stamped)
			return err
		},
		remote: func(ctx context.Context, leader catalog.GatewayID) (err error) {
			results, err = n.cfg.Remote.Apply(ctx, leader, stamped)
			if err == nil && len(results) != len(stamped) {
				err = fmt.Errorf("%w: %s returned %d results for %d commands", consensus.ErrUncertain, leader, len(results), len(stamped))
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// ApplyForwarded is the leader's side of consensus.Remote.Apply. The caller must
// have checked that the author of the commands is the member that sent them. It
// fails with consensus.ErrNotLeader or ErrRejected when nothing was written.
func (n *Node) ApplyForwarded(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	for i, cmd := range cmds {
		if cmd.GetClient() == "" || cmd.GetSequence() == 0 {
			return nil, fmt.Errorf("%w: command %d has no client or sequence", consensus.ErrRejected, i)
		}
	}
	if sizeOf(cmds) > maxEntry && len(cmds) > 1 {
		return nil, fmt.Errorf("%w: %d commands exceed %d bytes: send fewer at once", consensus.ErrRejected, len(cmds), maxEntry)
	}
	return n.writeAsLeader(ctx, cmds)
}

// checkCommand refuses what must not be in the log. An error that is a
// *catalog.Refusal is the result of the command.
func (n *Node) checkCommand(cmd *catalogpb.Command, now time.Time) error {
	if err := catalog.Check(cmd, now); err != nil {
		return err
	}
	return n.checkRemoval(cmd, now)
}

// writeAsLeader writes commands to the log. It does not write a command that
// checkCommand refuses: an unknown command in the log stops the member that
// applies it.
func (n *Node) writeAsLeader(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	results := make([]catalog.Result, len(cmds))
	var passed []*catalogpb.Command
	var places []int
	for i, cmd := range cmds {
		var refusal *catalog.Refusal
		err := n.checkCommand(cmd, time.Now())
		switch {
		case err == nil:
			passed, places = append(passed, cmd), append(places, i)
		case errors.As(err, &refusal):
			results[i].Refusal = refusal
		case errors.Is(err, consensus.ErrNotLeader):
			return nil, err
		default:
			return nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
		}
	}
	if len(passed) == 0 {
		return results, nil
	}
	written, err := n.batcher.propose(ctx, newProposal(passed), n.life.done)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		results[place] = written[i]
	}
	return results, nil
}
