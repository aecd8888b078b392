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

// Propose writes commands, in order, from any member. It returns one result for
// each, some of which may be refusals, when the own copy has them all: what was
// written can be read here at once. (Not so for one that takes this member out.)
//
// It retries over changes of leader until ctx or Config.ProposeTimeout ends; a
// command is applied at most once however often it was sent. It fails with
// ErrNoLeader (and ErrUncertain when something was sent), ErrRejected, ErrClosed,
// or, with results, ErrBehind. Commands are not changed.
func (n *Node) Propose(ctx context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.conf.ProposeTimeout)
	defer cancel()
	results, err := n.submit(ctx, cmds)
	if err != nil {
		return results, err
	}
	if n.endsMembership(cmds) {
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

// Submit is Propose without the wait for the own copy. It is for the write by
// which this member leaves: after it, nobody sends it the log any more.
func (n *Node) Submit(ctx context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.conf.ProposeTimeout)
	defer cancel()
	return n.submit(ctx, cmds)
}

func (n *Node) submit(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	var results []catalog.Result
	for _, piece := range split(cmds) {
		r, err := n.deliver(ctx, piece)
		results = append(results, r...)
		if err != nil {
			return results, fmt.Errorf("write to the catalog: %w", err)
		}
	}
	return results, nil
}

// endsMembership says whether commands take this member out: then nobody sends
// it the log any more, and to wait for it is in vain.
func (n *Node) endsMembership(cmds []*catalogpb.Command) bool {
	own := n.conf.ID.Datacenter()
	return slices.ContainsFunc(cmds, func(c *catalogpb.Command) bool {
		return c.GetLeave().GetDatacenter() == string(own) || c.GetRemoveGateway().GetGateway() == string(n.conf.ID)
	})
}

// deliver writes one entry's worth of commands.
func (n *Node) deliver(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	stamped, release := n.session.stamp(cmds, time.Now())
	defer release()
	var results []catalog.Result
	err := n.withLeader(ctx, attempt{
		here: func(ctx context.Context) (err error) {
			results, err = n.apply(ctx, stamped)
			return err
		},
		there: func(ctx context.Context, leader catalog.GatewayID) (err error) {
			results, err = n.conf.Remote.Apply(ctx, leader, stamped)
			if err == nil && len(results) != len(stamped) {
				err = fmt.Errorf("%w: %s gave %d results for %d commands", consensus.ErrUncertain, leader, len(results), len(stamped))
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// ApplyForwarded is the leader's side of Remote.Apply. The caller has checked
// that the commands' author is the member that sent them. It fails with
// ErrNotLeader or ErrRejected when nothing was written.
func (n *Node) ApplyForwarded(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	for i, cmd := range cmds {
		if cmd.GetClient() == "" || cmd.GetSequence() == 0 {
			return nil, fmt.Errorf("%w: command %d has no client or sequence", consensus.ErrRejected, i)
		}
	}
	if sizeOf(cmds) > maxEntry && len(cmds) > 1 {
		return nil, fmt.Errorf("%w: %d commands exceed %d bytes: send fewer at once", consensus.ErrRejected, len(cmds), maxEntry)
	}
	return n.apply(ctx, cmds)
}

// check is what the leader looks at before a command goes into the log.
func (n *Node) check(cmd *catalogpb.Command, now time.Time) error {
	if err := catalog.Check(cmd, now); err != nil {
		return err
	}
	return n.checkRemoval(cmd, now)
}

// apply writes commands as the leader. A command that check refuses is
// answered without being written: in the log, one that some member does not
// know would stop that member.
func (n *Node) apply(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	results := make([]catalog.Result, len(cmds))
	var passed []*catalogpb.Command
	var places []int
	for i, cmd := range cmds {
		var refusal *catalog.Refusal
		err := n.check(cmd, time.Now())
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
	written, err := n.enqueue(ctx, newProposal(passed))
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		results[place] = written[i]
	}
	return results, nil
}

func (n *Node) enqueue(ctx context.Context, p *proposal) ([]catalog.Result, error) {
	select {
	case n.queue <- p:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", consensus.ErrNotLeader, ctx.Err())
	case <-n.done:
		return nil, consensus.ErrClosed
	}
	select {
	case v := <-p.done:
		return v.results, v.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, ctx.Err())
	case <-n.done:
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, consensus.ErrClosed)
	}
}
