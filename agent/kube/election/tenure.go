package election

import (
	"context"
	"time"
)

// tenure is the time in which this gateway is elected. It begins with a write of the
// Lease and ends when another gateway holds the Lease, or when the API server has not
// confirmed for limit that none does. A failed renewal does not end it: while an API
// server fails often, a new election takes longer than the writes that it holds back.
type tenure struct {
	limit     time.Duration   // the duration of the Lease
	sightings chan sighting   // without a buffer
	done      <-chan struct{} // closed when no tenure follows
}

// sighting is what a request for the Lease showed.
type sighting int

const (
	leaseWritten  sighting = iota // by this gateway, as its holder
	leaseNotTaken                 // this gateway holds it, or none
	leaseTaken                    // another gateway holds it
)

// see passes a sighting to await or follow.
func (t tenure) see(s sighting) {
	select {
	case t.sightings <- s:
	case <-t.done:
	}
}

// await waits for the begin of a tenure. It reports false if ctx ends before.
func (t tenure) await(ctx context.Context) bool {
	for {
		select {
		case s := <-t.sightings:
			if s == leaseWritten {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// follow waits for the end of a tenure that has begun, or of ctx.
func (t tenure) follow(ctx context.Context) {
	timer := time.NewTimer(t.limit)
	defer timer.Stop()
	for {
		select {
		case s := <-t.sightings:
			if s == leaseTaken {
				return
			}
			timer.Reset(t.limit)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
