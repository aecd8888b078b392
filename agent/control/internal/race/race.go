// Package race dials several addresses of which some may not answer.
package race

import (
	"context"
	"io"
	"time"
)

// stagger is the head start of an address before the next one is tried in
// parallel (RFC 8305 §5): an overlay that is down does not answer at all.
const stagger = 300 * time.Millisecond

// attempt is the result of dialling one address.
type attempt[C io.Closer] struct {
	index int
	conn  C
	err   error
}

// Dial dials n addresses in order and returns the first connection and the index of its
// address; -1 if all failed. It starts an attempt stagger after the previous one, or as
// soon as one fails. All attempts have ended when it returns. Of failed, those that were not
// started or not waited for are nil.
func Dial[C io.Closer](ctx context.Context, n int, dial func(ctx context.Context, i int) (C, error)) (first C, won int, failed []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt[C])
	won, failed = -1, make([]error, n)
	running := 0
	for next := 0; won < 0 && (next < n || running > 0); {
		if i := next; i < n {
			next++
			running++
			go func() { // ends before Dial returns: its result is received
				conn, err := dial(ctx, i)
				results <- attempt[C]{i, conn, err}
			}()
		}
		var headStart <-chan time.Time
		if next < n {
			headStart = time.After(stagger)
		}
		select {
		case <-headStart:
		case r := <-results:
			running--
			if r.err != nil {
				failed[r.index] = r.err
			} else {
				first, won = r.conn, r.index
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if r := <-results; r.err == nil {
			_ = r.conn.Close() // not needed
		}
	}
	return first, won, failed
}
