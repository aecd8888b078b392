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
	"github.com/meshway/meshway/consensus/raftnode/internal/proposals"
)

// Propose writes commands to the catalog, in order. It may be called on any
// member. It returns one result for each command, which can be a refusal, when
// the local copy has them all, so that View includes what was written. It does
// not wait for the local copy after a command that removes this member.
//
// It retries when the leader changes, until ctx or Config.ProposeTimeout ends; a
// command is applied at most once, however often it was sent. It fails with
// consensus.ErrNoLeader or ErrClosed (which also match ErrUncertain if something was
// sent), ErrRejected or, with results, ErrBehind. The commands are not
// modified.
func (n *Node) Propose(ctx context.Context, cmds ...*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	results, err := n.submit(ctx, cmds)
	if err != nil {
		return results, err
	}
	if proposals.Removes(cmds, n.cfg.ID) {
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
	for _, piece := range proposals.Split(cmds) {
		r, err := n.writeThroughLeader(ctx, piece)
		results = append(results, r...)
		if err != nil {
			return results, fmt.Errorf("write to the catalog: %w", err)
		}
	}
	return results, nil
}

// writeThroughLeader writes the commands of one entry.
func (n *Node) writeThroughLeader(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	results, client, err := n.writeStamped(ctx, cmds)
	if err != nil || !slices.ContainsFunc(results, proposals.IsStale) {
		return results, err
	}
	n.writes.session.Renew(client)
	results, _, err = n.writeStamped(ctx, cmds)
	return results, err
}

func (n *Node) writeStamped(ctx context.Context, cmds []*catalogpb.Command) (results []catalog.Result, client string, err error) {
	stamped, release := n.writes.session.Stamp(cmds, n.cfg.Host.Now())
	defer release()
	err = n.callLeader(ctx, leaderCall{
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
		return nil, "", err
	}
	return results, stamped[0].GetClient(), nil
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
	if proposals.Size(cmds) > proposals.MaxEntry && len(cmds) > 1 {
		return nil, fmt.Errorf("%w: %d commands exceed %d bytes: send fewer at once", consensus.ErrRejected, len(cmds), proposals.MaxEntry)
	}
	return n.writeAsLeader(ctx, cmds)
}

// writeAsLeader writes commands to the log, except those that would change nothing:
// see replica.State.Judge and checkRemoval. Their results are of the state of this
// member, so that a quorum must confirm that it still leads, as before a read.
func (n *Node) writeAsLeader(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	_, lead := n.serving()
	if lead == nil {
		return nil, consensus.ErrNotLeader
	}
	sent := n.writes.sent.Enter(cmds)
	w, err := n.judge(cmds, sent)
	if err != nil || len(w.passed) == 0 {
		sent.Leave()
	}
	if err != nil {
		return nil, err
	}
	if len(w.places) < len(cmds) {
		if err := lead.confirm(ctx); err != nil {
			sent.Leave()
			return nil, err
		}
	}
	if len(w.passed) == 0 {
		return w.results, nil
	}
	p := proposals.New(w.passed)
	p.Resolved = sent.Leave
	written, err := n.batcher.Propose(ctx, p, n.life.done)
	if err != nil {
		return nil, err
	}
	for i, place := range w.places {
		w.results[place] = written[i]
	}
	return w.results, nil
}

// judged is a call of which some commands are written. places are those of passed
// in results, which has the results of the others; the commands of passed that have
// none are the leader's own.
type judged struct {
	results []catalog.Result
	passed  []*catalogpb.Command
	places  []int
}

// judge decides which commands are written. One of which an earlier attempt is in
// the log, but not in the state, has to be written again: its result is that of the
// first.
func (n *Node) judge(cmds []*catalogpb.Command, sent *proposals.Attempt) (judged, error) {
	w, now := judged{results: make([]catalog.Result, len(cmds))}, n.cfg.Host.Now()
	var own []*catalogpb.Command
	for i, v := range n.fsm.Judge(cmds, n.cfg.Limits, now) {
		if v.Command == nil && sent.Before[i] {
			v.Command = cmds[i]
		}
		if v.Command == nil {
			w.results[i] = v.Result
			continue
		}
		var refusal *catalog.Refusal
		switch err := n.check(v.Command, time.Now()); {
		case err == nil:
			w.passed, w.places = append(w.passed, v.Command), append(w.places, i)
		case errors.As(err, &refusal):
			w.results[i].Refusal = refusal
			own = append(own, consensus.RequestCommands(v.Command, refusal, n.View().Gateways(), now)...)
		case errors.Is(err, consensus.ErrNotLeader):
			return judged{}, err
		default:
			return judged{}, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
		}
	}
	for _, v := range n.fsm.Judge(own, n.cfg.Limits, now) {
		if v.Command != nil { // the catalog does not have the request
			w.passed = append(w.passed, v.Command)
		}
	}
	for i, r := range w.results {
		if r.Refusal != nil {
			n.safeguards.requests.CountRefusal(catalog.GatewayID(cmds[i].GetAuthor()), r.Refusal.Code, n.View())
		}
	}
	return w, nil
}

// FirstSequence returns a sequence that is higher than all that a client used in a
// process that started earlier.
func FirstSequence(now time.Time) uint64 { return proposals.FirstSequence(now) }
