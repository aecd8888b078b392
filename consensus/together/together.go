// Package together lets the callers of a function share its calls, where one call for
// many costs as much as one for one: a message, or a round of a quorum.
package together

import (
	"context"
	"runtime"
	"sync"
)

// Calls are concurrent calls of one function, each with an argument. Those that arrive
// while AtOnce calls are under way are made together as soon as one of these has ended.
// Each call begins after its callers called, and none is delayed on purpose. The exported fields are
// not changed once it is used.
type Calls[A, R any] struct {
	// Do makes one call for several callers, and returns one result for each.
	Do     func(ctx context.Context, arguments []A) ([]R, error)
	Limit  int // of the weights in one call; a heavier argument has a call of its own
	AtOnce int // at least 1

	mu      sync.Mutex // guards all following
	waiting []*caller[A, R]
	running int
}

type caller[A, R any] struct {
	ctx      context.Context //nolint:containedctx // of the call in progress, whose values the shared one has
	argument A
	weight   int
	outcome  chan outcome[R] // size 1
	left     chan struct{}   // closed when the caller does not wait any longer
}

type outcome[R any] struct {
	result R
	err    error
}

// Call returns the result of a call that may be shared. When ctx ends first, it
// returns its cause, and the call goes on for the others.
func (c *Calls[A, R]) Call(ctx context.Context, argument A, weight int) (R, error) {
	own := &caller[A, R]{ctx: ctx, argument: argument, weight: weight, outcome: make(chan outcome[R], 1), left: make(chan struct{})}
	defer close(own.left)
	c.mu.Lock()
	c.waiting = append(c.waiting, own)
	start := c.running < c.AtOnce
	if start {
		c.running++
	}
	c.mu.Unlock()
	if start {
		go c.run() // ends when no caller waits
	}
	select {
	case o := <-own.outcome:
		return o.result, o.err
	case <-ctx.Done():
		var none R
		return none, context.Cause(ctx)
	}
}

// run makes calls until no caller waits.
func (c *Calls[A, R]) run() {
	for {
		// Callers that one call has released together call again together: they run
		// first, and share the next one.
		runtime.Gosched()
		callers := c.next()
		if len(callers) == 0 {
			return
		}
		c.serve(callers)
	}
}

// next takes the callers of the next call; when there are none, a further call may
// start.
func (c *Calls[A, R]) next() []*caller[A, R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var callers []*caller[A, R]
	weight := 0
	for len(c.waiting) > 0 {
		w := c.waiting[0]
		if w.ctx.Err() == nil { // else nothing is done for it
			if len(callers) > 0 && weight+w.weight > c.Limit {
				break
			}
			callers, weight = append(callers, w), weight+w.weight
		}
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
	}
	if len(callers) == 0 {
		c.running--
	}
	return callers
}

// serve makes one call. It is cancelled when all its callers have left.
func (c *Calls[A, R]) serve(callers []*caller[A, R]) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(callers[0].ctx))
	defer cancel()
	go func() { // ends when ctx does
		for _, w := range callers {
			select {
			case <-w.left:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	arguments := make([]A, len(callers))
	for i, w := range callers {
		arguments[i] = w.argument
	}
	results, err := c.Do(ctx, arguments)
	for i, w := range callers {
		o := outcome[R]{err: err}
		if err == nil {
			o.result = results[i]
		}
		w.outcome <- o
	}
}
