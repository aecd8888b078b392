package proposals

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// MaxEntry bounds the data of one log entry, in bytes. Raft advises less than 512 KiB.
	MaxEntry = 256 << 10
	// maxInFlight bounds the entries whose outcome is awaited; raft would keep
	// any number of them in memory.
	maxInFlight = 64
	// longPath is how long an entry takes to be decided if the round trip to the
	// quorum, and not the disks, takes most of it.
	longPath = 20 * time.Millisecond
	// On a long path, the next entry waits for the lingerPart-th part of that time, at
	// most for maxLinger.
	lingerPart = 20
	maxLinger  = 5 * time.Millisecond
)

// Proposal contains the commands of one caller; they stay together in one entry.
type Proposal struct {
	Commands []*catalogpb.Command
	size     int
	outcome  chan outcome // size 1
	Resolved func()       // called when the outcome is known
}

type outcome struct {
	results []catalog.Result
	err     error // consensus.ErrNotLeader: not written; else unknown
}

// New returns a proposal of cmds, whose outcome only Propose awaits.
func New(cmds []*catalogpb.Command) *Proposal {
	return &Proposal{Commands: cmds, size: Size(cmds), outcome: make(chan outcome, 1), Resolved: func() {}}
}

func (p *Proposal) end(o outcome) {
	p.Resolved()
	p.outcome <- o
}

// Size returns the size of an entry of cmds, in bytes.
func Size(cmds []*catalogpb.Command) int {
	return proto.Size(&catalogpb.Entry{Commands: cmds})
}

// Split cuts commands into pieces of at most MaxEntry, in order. A larger
// command gets its own piece.
func Split(cmds []*catalogpb.Command) [][]*catalogpb.Command {
	var pieces [][]*catalogpb.Command
	size := 0
	for i, cmd := range cmds {
		s := Size(cmds[i : i+1])
		if len(pieces) == 0 || size+s > MaxEntry {
			pieces, size = append(pieces, nil), 0
		}
		last := len(pieces) - 1
		pieces[last] = append(pieces[last], cmd)
		size += s
	}
	return pieces
}

// Removes reports whether a command removes the member id: then it is not sent the
// log, and its local copy never has the command.
func Removes(cmds []*catalogpb.Command, id catalog.GatewayID) bool {
	return slices.ContainsFunc(cmds, func(c *catalogpb.Command) bool {
		return c.GetLeave().GetDatacenter() == string(id.Datacenter()) || c.GetRemoveGateway().GetGateway() == string(id)
	})
}

// Batcher packs proposals into log entries. While raft accepts one entry, the
// next proposals queue and share the following entry: batches grow with the load,
// and no proposal is delayed on purpose.
type Batcher struct {
	queue chan *Proposal
}

// NewBatcher returns a batcher without proposals.
func NewBatcher() *Batcher { return &Batcher{queue: make(chan *Proposal)} }

// Propose writes a proposal through the log that runs. done ends the wait.
func (b *Batcher) Propose(ctx context.Context, p *Proposal, done <-chan struct{}) ([]catalog.Result, error) {
	select {
	case b.queue <- p:
	case <-ctx.Done():
		p.Resolved()
		return nil, fmt.Errorf("%w: %w", consensus.ErrNotLeader, ctx.Err())
	case <-done:
		p.Resolved()
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

// Log is where entries are written.
type Log interface {
	// Write hands over an entry, whose proposals get their outcome by Resolve, and calls
	// release when it is known.
	Write(entry []*Proposal, release func())
}

// Run hands the proposals to log until ctx ends.
//
// On a long path, where an entry is decided only after longPath or more, the next
// entries wait until those before are decided: a follower is sent a message only when
// it has answered the one before, so that an entry which is written meanwhile takes
// two round trips. And after an entry of several commands they wait a little longer,
// in which the callers that were released together call again. So all callers share
// the messages of one round trip, instead of waiting in turns.
func (b *Batcher) Run(ctx context.Context, log Log) {
	slots, freed := make(chan struct{}, maxInFlight), make(chan struct{}, 1)
	var took atomic.Int64 // until the last entry was decided, in ns
	var next *Proposal    // did not fit into the previous entry
	several := false      // commands were in the previous entry
	for {
		for time.Duration(took.Load()) >= longPath && next == nil && len(slots) > 0 && ctx.Err() == nil {
			select {
			case <-freed:
			case <-ctx.Done():
			}
		}
		var pause time.Duration
		if last := time.Duration(took.Load()); several && last >= longPath {
			pause = min(last/lingerPart, maxLinger)
		}
		var entry []*Proposal
		entry, next = b.collect(ctx, next, pause)
		if len(entry) == 0 {
			return
		}
		several = len(entry) > 1 || len(entry[0].Commands) > 1
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			refuse(entry)
			if next != nil {
				refuse([]*Proposal{next})
			}
			return
		}
		written := time.Now()
		log.Write(entry, func() {
			took.Store(int64(time.Since(written)))
			<-slots
			select {
			case freed <- struct{}{}:
			default: // one is enough: Run looks at slots
			}
		})
	}
}

// collect waits for a proposal, and takes those that wait as well or arrive within
// pause. It returns no entry when ctx ended.
func (b *Batcher) collect(ctx context.Context, first *Proposal, pause time.Duration) (entry []*Proposal, next *Proposal) {
	if first == nil {
		select {
		case first = <-b.queue:
		case <-ctx.Done():
			return nil, nil
		}
	}
	entry, size := []*Proposal{first}, first.size
	var over <-chan time.Time // nil: nothing is awaited
	if pause > 0 {
		over = time.After(pause)
	}
	for {
		p := b.another(ctx, over)
		if p == nil {
			return entry, nil
		}
		if size+p.size > MaxEntry {
			return entry, p
		}
		entry, size = append(entry, p), size+p.size
	}
}

// another returns a proposal that waits or arrives before over; nil if there is none.
// With a nil over it does not wait.
func (b *Batcher) another(ctx context.Context, over <-chan time.Time) *Proposal {
	select {
	case p := <-b.queue:
		return p
	default:
	}
	if over == nil {
		return nil
	}
	select {
	case p := <-b.queue:
		return p
	case <-over:
	case <-ctx.Done():
	}
	return nil
}

// refuse ends proposals that were never handed to raft.
func refuse(entry []*Proposal) {
	for _, p := range entry {
		p.end(outcome{err: fmt.Errorf("%w: it is stopping", consensus.ErrNotLeader)})
	}
}

// Resolve gives each proposal its part of the results.
func Resolve(entry []*Proposal, results []catalog.Result, err error) {
	for _, p := range entry {
		if err == nil && len(results) < len(p.Commands) {
			err = fmt.Errorf("%w: %d results for %d commands", consensus.ErrUncertain, len(results), len(p.Commands))
		}
		if err != nil {
			p.end(outcome{err: err})
			continue
		}
		p.end(outcome{results: results[:len(p.Commands)]})
		results = results[len(p.Commands):]
	}
}
