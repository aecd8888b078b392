package raftnode

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// maxEntry bounds the data of one log entry, in bytes. Raft advises less than 512 KiB.
	maxEntry = 256 << 10
	// maxInFlight bounds the entries whose outcome is awaited: raft itself takes
	// any number, in memory.
	maxInFlight = 64
)

// proposal is the commands of one caller; they stay together in one entry.
type proposal struct {
	cmds []*catalogpb.Command
	size int
	done chan verdict // size 1
}

type verdict struct {
	results []catalog.Result
	err     error // ErrNotLeader: not written; else the outcome is unknown
}

func newProposal(cmds []*catalogpb.Command) *proposal {
	return &proposal{cmds: cmds, size: sizeOf(cmds), done: make(chan verdict, 1)}
}

func sizeOf(cmds []*catalogpb.Command) int {
	return proto.Size(&catalogpb.Entry{Commands: cmds})
}

// split cuts commands into pieces of at most maxEntry, in order. A command that
// is larger alone gets its own piece.
func split(cmds []*catalogpb.Command) [][]*catalogpb.Command {
	var pieces [][]*catalogpb.Command
	size := 0
	for i, cmd := range cmds {
		s := sizeOf(cmds[i : i+1])
		if len(pieces) == 0 || size+s > maxEntry {
			pieces, size = append(pieces, nil), 0
		}
		last := len(pieces) - 1
		pieces[last] = append(pieces[last], cmd)
		size += s
	}
	return pieces
}

// batch packs waiting proposals into entries. While raft takes an entry in, the
// next callers queue up and share the following one: so batches grow with the
// load and nobody waits on purpose.
func (n *Node) batch(ctx context.Context, inst *instance) {
	slots := make(chan struct{}, maxInFlight)
	var next *proposal // did not fit into the previous entry
	for {
		var entry []*proposal
		entry, next = n.collect(ctx, next)
		if len(entry) == 0 {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			refuse(entry)
			if next != nil {
				refuse([]*proposal{next})
			}
			return
		}
		n.handToRaft(inst, entry, func() { <-slots })
	}
}

// collect waits for a proposal and takes those that wait beside it. Nothing
// collected means that ctx ended.
func (n *Node) collect(ctx context.Context, first *proposal) (entry []*proposal, next *proposal) {
	if first == nil {
		select {
		case first = <-n.queue:
		case <-ctx.Done():
			return nil, nil
		}
	}
	entry, size := []*proposal{first}, first.size
	for {
		select {
		case p := <-n.queue:
			if size+p.size > maxEntry {
				return entry, p
			}
			entry, size = append(entry, p), size+p.size
		default:
			return entry, nil
		}
	}
}

// refuse answers proposals that were never handed to raft.
func refuse(entry []*proposal) {
	for _, p := range entry {
		p.done <- verdict{err: fmt.Errorf("%w: it stops", consensus.ErrNotLeader)}
	}
}

// handToRaft returns when raft has taken the entry; release is called when its
// outcome is known.
func (n *Node) handToRaft(inst *instance, entry []*proposal, release func()) {
	var cmds []*catalogpb.Command
	for _, p := range entry {
		cmds = append(cmds, p.cmds...)
	}
	data, err := catalog.Marshal(cmds...)
	if err != nil {
		release()
		answer(entry, nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err))
		return
	}
	// Raft's main loop takes it at once, unless the loop is gone.
	inst.inFlight.Add(1)
	future := inst.raft.Apply(data, inst.timers.Election)
	inst.pending.Go(func() {
		defer release()
		results, err := outcomeOf(future)
		inst.inFlight.Add(-1)
		inst.hasNews()
		answer(entry, results, err)
	})
}

func outcomeOf(future raft.ApplyFuture) ([]catalog.Result, error) {
	if err := future.Error(); err != nil {
		return nil, translate(err)
	}
	switch r := future.Response().(type) {
	case []catalog.Result:
		return r, nil
	case error:
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, r)
	default:
		return nil, fmt.Errorf("%w: unexpected %T", consensus.ErrUncertain, r)
	}
}

// answer gives each proposal its part of the results.
func answer(entry []*proposal, results []catalog.Result, err error) {
	for _, p := range entry {
		if err == nil && len(results) < len(p.cmds) {
			err = fmt.Errorf("%w: %d results for %d commands", consensus.ErrUncertain, len(results), len(p.cmds))
		}
		if err != nil {
			p.done <- verdict{err: err}
			continue
		}
		p.done <- verdict{results: results[:len(p.cmds)]}
		results = results[len(p.cmds):]
	}
}
