package raftnode

import (
	"context"
	"time"
)

// announceDelay is how long the leader waits for the next write before it
// announces a commit with an entry of its own: the message of a next write
// announces it too.
const announceDelay = 20 * time.Millisecond

// announceCommits announces a commit to the followers when no write follows. A
// message contains the commit index at the time it was sent, so that the
// followers have the last entry of a burst without learning of its commit. Raft
// repeats the commit index every Timers.CommitInterval, even if idle; as the only
// announcement, it would have to be much shorter. A barrier is a message at the
// right moment. It costs one small entry for each burst.
func (i *instance) announceCommits(ctx context.Context) {
	for {
		select {
		case <-i.committed:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, announceDelay) {
			return
		}
		if len(i.committed) > 0 || i.inFlight.Load() > 0 || len(i.servers()) < 2 {
			continue
		}
		// The outcome is ignored: if the barrier fails, the followers learn of the
		// commit after Timers.CommitInterval.
		i.raft.Barrier(i.timers.ElectionTimeout)
	}
}

// notifyCommitted makes announceCommits announce what is committed now.
func (i *instance) notifyCommitted() {
	select {
	case i.committed <- struct{}{}:
	default:
	}
}
