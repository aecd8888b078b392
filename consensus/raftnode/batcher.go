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
	// maxInFlight bounds the entries whose outcome is awaited; raft would keep
	// any number of them in memory.
	maxInFlight = 64
)

// proposal contains the commands of one caller; they stay together in one entry.
type proposal struct {
	cmds     []*catalogpb.Command
	size     int
	outcome  chan outcome // size 1
	resolved func()       // called when the outcome is known
}

type outcome struct {
	results []catalog.Result
	err     error // consensus.ErrNotLeader: not written; else unknown
}

func newProposal(cmds []*catalogpb.Command) *proposal {
	return &proposal{cmds: cmds, size: sizeOf(cmds), outcome: make(chan outcome, 1), resolved: func() {}}
}

func (p *proposal) resolve(o outcome) {
	p.resolved()
	p.outcome <- o
}

func sizeOf(cmds []*catalogpb.Command) int {
	return proto.Size(&catalogpb.Entry{Commands: cmds})
}

// splitCommands cuts commands into pieces of at most maxEntry, in order. A larger
// command gets its own piece.
func splitCommands(cmds []*catalogpb.Command) [][]*catalogpb.Command {
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

// batcher packs proposals into log entries. While raft accepts one entry, the
// next proposals queue and share the following entry: batches grow with the load,
// and no proposal is delayed on purpose.
type batcher struct {
	queue chan *proposal
}

func newBatcher() *batcher { return &batcher{queue: make(chan *proposal)} }

// propose writes a proposal through the instance that runs. done ends the wait.
func (b *batcher) propose(ctx context.Context, p *proposal, done <-chan struct{}) ([]catalog.Result, error) {
	select {
	case b.queue <- p:
	case <-ctx.Done():
		p.resolved()
		return nil, notLeader(ctx.Err())
	case <-done:
		p.resolved()
		return nil, consensus.ErrClosed
	}
	select {
	case o := <-p.outcome:
		return o.results, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, ctx.Err())
	case <-done:
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, consensus.ErrClosed)
	}
}

// run hands the proposals to inst until ctx ends.
func (b *batcher) run(ctx context.Context, inst *instance) {
	slots := make(chan struct{}, maxInFlight)
	var next *proposal // did not fit into the previous entry
	for {
		var entry []*proposal
		entry, next = b.collect(ctx, next)
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
		inst.write(entry, func() { <-slots })
	}
}

// collect waits for a proposal, and takes those that wait as well. It returns no
// entry when ctx ended.
func (b *batcher) collect(ctx context.Context, first *proposal) (entry []*proposal, next *proposal) {
	if first == nil {
		select {
		case first = <-b.queue:
		case <-ctx.Done():
			return nil, nil
		}
	}
	entry, size := []*proposal{first}, first.size
	for {
		select {
		case p := <-b.queue:
			if size+p.size > maxEntry {
				return entry, p
			}
			entry, size = append(entry, p), size+p.size
		default:
			return entry, nil
		}
	}
}

// refuse ends proposals that were never handed to raft.
func refuse(entry []*proposal) {
	for _, p := range entry {
		p.resolve(outcome{err: fmt.Errorf("%w: it is stopping", consensus.ErrNotLeader)})
	}
}

// write hands an entry to raft and returns when raft has accepted it. release is
// called when its outcome is known.
func (i *instance) write(entry []*proposal, release func()) {
	var cmds []*catalogpb.Command
	for _, p := range entry {
		cmds = append(cmds, p.cmds...)
	}
	data, err := catalog.Marshal(cmds...)
	if err != nil {
		release()
		resolve(entry, nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err))
		return
	}
	// Raft's main loop accepts it at once, unless the loop has ended.
	i.inFlight.Add(1)
	future := i.raft.Apply(data, i.timers.ElectionTimeout)
	i.pending.Go(func() {
		defer release()
		results, err := resultsOf(future)
		i.inFlight.Add(-1)
		i.notifyCommitted()
		resolve(entry, results, err)
	})
}

// resultsOf waits for the outcome of an entry.
func resultsOf(future raft.ApplyFuture) ([]catalog.Result, error) {
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

// resolve gives each proposal its part of the results.
func resolve(entry []*proposal, results []catalog.Result, err error) {
	for _, p := range entry {
		if err == nil && len(results) < len(p.cmds) {
			err = fmt.Errorf("%w: %d results for %d commands", consensus.ErrUncertain, len(results), len(p.cmds))
		}
		if err != nil {
			p.resolve(outcome{err: err})
			continue
		}
		p.resolve(outcome{results: results[:len(p.cmds)]})
		results = results[len(p.cmds):]
	}
}
