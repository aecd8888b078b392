package disk

import (
	"time"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// Host is what a node uses of its host.
type Host struct {
	// Elapsed returns the time since some instant, by which the lease of a leader is
	// judged. Nil: the monotonic clock, and the time in which the host was suspended.
	Elapsed func() time.Duration
	// Now returns the time of day, which may jump. Nil: time.Now.
	Now func() time.Time
	// Disk may make writes slow, or fail; nil: they are made.
	Disk Disk
}

// WithClock returns h with the clocks that it lacks.
func (h Host) WithClock(elapsed func() time.Duration) Host {
	if h.Elapsed == nil {
		h.Elapsed = elapsed
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	return h
}

// Disk is called before each write of a directory, so that a test can make it slow, or
// fail.
type Disk interface {
	// Wait returns when the next write may begin. It is called without a lock.
	Wait()
	logstore.Disk
}
