package notify_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/notify"
)

// startLoop runs a loop in the current bubble and returns how many passes it has made.
func startLoop(t *testing.T, wait time.Duration, during func(pass int), sources ...func() <-chan struct{}) *atomic.Int32 {
	t.Helper()
	return startBatched(t, 0, wait, during, sources...)
}

func startBatched(t *testing.T, delay, wait time.Duration, during func(pass int), sources ...func() <-chan struct{}) *atomic.Int32 {
	t.Helper()
	passes := new(atomic.Int32)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		notify.LoopBatched(ctx, delay, func(context.Context) time.Duration {
			pass := passes.Add(1)
			if during != nil {
				during(int(pass))
			}
			return wait
		}, sources...)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return passes
}

func TestLoopPassesAtTheStartAndAfterEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := notify.NewSignal()
		var broadcast notify.Broadcast
		passes := startLoop(t, 0, nil, signal.Changed, broadcast.Changed, func() <-chan struct{} { return nil })
		assert.EqualValues(t, 1, passes.Load())
		signal.Notify()
		synctest.Wait()
		assert.EqualValues(t, 2, passes.Load())
		broadcast.Notify()
		synctest.Wait()
		assert.EqualValues(t, 3, passes.Load())
		time.Sleep(time.Hour)
		assert.EqualValues(t, 3, passes.Load(), "without a duration there is no timer")
	})
}

func TestLoopPassesAgainAfterTheReturnedDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passes := startLoop(t, time.Minute, nil)
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 1, passes.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 2, passes.Load())
	})
}

func TestLoopMissesNoChangeDuringAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broadcast notify.Broadcast
		passes := startLoop(t, 0, func(pass int) {
			if pass == 1 {
				broadcast.Notify()
			}
		}, broadcast.Changed)
		assert.EqualValues(t, 2, passes.Load())
	})
}

func TestBatchedLoopHandlesChangesWithinTheDelayInOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broadcast notify.Broadcast
		passes := startBatched(t, time.Second, time.Minute, nil, broadcast.Changed)
		assert.EqualValues(t, 1, passes.Load(), "the first pass is not delayed")
		broadcast.Notify()
		time.Sleep(time.Second - time.Nanosecond)
		broadcast.Notify()
		synctest.Wait()
		assert.EqualValues(t, 1, passes.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 2, passes.Load())
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 2, passes.Load(), "both changes caused one pass")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 3, passes.Load(), "a pass after the returned duration is not delayed")
	})
}

func TestBatchedLoopEndsDuringTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := notify.NewSignal()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start, passes := time.Now(), 0
		signal.Notify()
		notify.LoopBatched(ctx, time.Hour, func(context.Context) time.Duration { passes++; return 0 }, signal.Changed)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, 1, passes)
	})
}

func TestLoopUntilEndsWhenDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := notify.NewSignal()
		start, calls := time.Now(), 0
		done := func(context.Context) bool {
			if calls++; calls == 2 {
				signal.Notify()
			}
			return calls == 3
		}
		assert.True(t, notify.LoopUntil(t.Context(), time.Minute, done, signal.Changed))
		assert.Equal(t, 3, calls)
		assert.Equal(t, time.Minute, time.Since(start), "the second call is after the interval, the third after the change")
	})
}

func TestLoopUntilReportsThatTheContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.False(t, notify.LoopUntil(ctx, 0, func(context.Context) bool { return false }))
	})
}

func TestLoopUntilCallsDoneOnceAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := 0
	assert.True(t, notify.LoopUntil(ctx, 0, func(context.Context) bool { calls++; return true }))
	assert.Equal(t, 1, calls)
	assert.False(t, notify.LoopUntil(ctx, 0, func(context.Context) bool { calls++; return false }))
	assert.Equal(t, 2, calls)
}
