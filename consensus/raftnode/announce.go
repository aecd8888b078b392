package raftnode

import (
	"context"
	"time"
)

// quiet is how long the leader waits for the next write before it announces a
// commit by an entry of its own: the next write's message would carry it.
const quiet = 20 * time.Millisecond

// announce tells the followers of a commit when no write follows that would.
// A message says what was committed when it was sent, so the followers hold the
// last entry of a burst without knowing that it counts. Raft repeats itself for
// that every Timers.Commit, which would have to be often to be soon, and is
// work for everybody all day. A barrier is a message at the right moment; it
// costs one small entry for each burst.
func (n *Node) announce(ctx context.Context, inst *instance) {
	for {
		select {
		case <-inst.news:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, quiet) {
			return
		}
		if len(inst.news) > 0 || inst.inFlight.Load() > 0 || inst.alone() {
			continue
		}
		// Nobody waits for it: raft may forget it when it is shut down, and one
		// that fails leaves the followers to Timers.Commit.
		inst.raft.Barrier(inst.timers.Election)
	}
}

// hasNews notes that the outcome of an entry is known.
func (i *instance) hasNews() {
	select {
	case i.news <- struct{}{}:
	default:
	}
}

// alone says that there is nobody to tell.
func (i *instance) alone() bool {
	return len(i.raft.GetConfiguration().Configuration().Servers) < 2
}
