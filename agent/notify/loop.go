package notify

import (
	"context"
	"reflect"
	"time"
)

// Loop calls pass until ctx ends: once at the start, and again whenever a
// source is ready or the duration that pass returned has elapsed; a duration of
// zero or less sets no timer. A pass is never interrupted and never concurrent
// with another.
//
// A source returns a channel that becomes ready at the next change, or nil for
// none. All sources are called before the pass, so that no change during the
// pass is missed.
func Loop(ctx context.Context, pass func(context.Context) time.Duration, sources ...func() <-chan struct{}) {
	LoopBatched(ctx, 0, pass, sources...)
}

// LoopBatched is Loop, but waits for delay after a source is ready, so that one
// pass handles all changes of that time. The first pass and a pass after the
// duration that pass returned are not delayed.
func LoopBatched(ctx context.Context, delay time.Duration, pass func(context.Context) time.Duration, sources ...func() <-chan struct{}) {
	for ctx.Err() == nil {
		cases := []reflect.SelectCase{receive(ctx.Done())}
		for _, source := range sources {
			cases = append(cases, receive(source()))
		}
		if changed := wait(cases, pass(ctx)); changed && delay > 0 {
			wait(cases[:1], delay)
		}
	}
}

// LoopUntil calls done as Loop calls a pass that always returns interval, until
// done returns true or ctx ends. It reports whether done returned true. It calls
// done once even if ctx has ended before.
func LoopUntil(ctx context.Context, interval time.Duration, done func(context.Context) bool, sources ...func() <-chan struct{}) bool {
	if ctx.Err() != nil {
		return done(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := false
	Loop(ctx, func(ctx context.Context) time.Duration {
		if finished = done(ctx); finished {
			cancel()
		}
		return interval
	}, sources...)
	return finished
}

// wait waits until one of the cases is ready, and reports true, or until
// timeout has elapsed; a timeout of zero or less does not elapse.
func wait(cases []reflect.SelectCase, timeout time.Duration) bool {
	if timeout <= 0 {
		reflect.Select(cases)
		return true
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	expired := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(timer.C)}
	chosen, _, _ := reflect.Select(append(cases, expired))
	return chosen < len(cases)
}

func receive(c <-chan struct{}) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)}
}
