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
	for ctx.Err() == nil {
		cases := []reflect.SelectCase{receive(ctx.Done())}
		for _, source := range sources {
			cases = append(cases, receive(source()))
		}
		if wait := pass(ctx); wait > 0 {
			timer := time.NewTimer(wait)
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(timer.C)})
			reflect.Select(cases)
			timer.Stop()
			continue
		}
		reflect.Select(cases)
	}
}

func receive(c <-chan struct{}) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)}
}
