// Package sharedcall lets the callers of a function share its calls, where one call for
// many costs as much as one for one: a message, or a round of a quorum.
package sharedcall

import (
	"context"
	"runtime"
	"sync"
)

// Group is the concurrent calls of one function, each with an argument. Those that
// arrive while AtOnce calls are under way are made together as soon as one of these has
// ended. Each call begins after its callers called, and none is delayed on purpose. The
// exported fields are not changed once it is used.
type Group[A, R any] struct {
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
func (g *Group[A, R]) Call(ctx context.Context, argument A, weight int) (R, error) {
	own := &caller[A, R]{ctx: ctx, argument: argument, weight: weight, outcome: make(chan outcome[R], 1), left: make(chan struct{})}
	defer close(own.left)
	g.mu.Lock()
	g.waiting = append(g.waiting, own)
	start := g.running < g.AtOnce
	if start {
		g.running++
	}
	g.mu.Unlock()
	if start {
		go g.run() // ends when no caller waits
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
func (g *Group[A, R]) run() {
	for {
		// Callers that one call has released together call again together: they run
		// first, and share the next one.
		runtime.Gosched()
		callers := g.next()
		if len(callers) == 0 {
			return
		}
		g.serve(callers)
	}
}

// next takes the callers of the next call; when there are none, a further call may
// start.
func (g *Group[A, R]) next() []*caller[A, R] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var callers []*caller[A, R]
	weight := 0
	for len(g.waiting) > 0 {
		w := g.waiting[0]
		if w.ctx.Err() == nil { // else nothing is done for it
			if len(callers) > 0 && weight+w.weight > g.Limit {
				break
			}
			callers, weight = append(callers, w), weight+w.weight
		}
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
	}
	if len(callers) == 0 {
		g.running--
	}
	return callers
}

// serve makes one call. It is cancelled when all its callers have left.
func (g *Group[A, R]) serve(callers []*caller[A, R]) {
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
	results, err := g.Do(ctx, arguments)
	for i, w := range callers {
		o := outcome[R]{err: err}
		if err == nil {
			o.result = results[i]
		}
		w.outcome <- o
	}
}
