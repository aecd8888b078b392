package notify_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/notify"
)

// startLoop runs a loop in the current bubble and returns how many passes it has made.
func startLoop(t *testing.T, wait time.Duration, during func(pass int), sources ...func() <-chan struct{}) *int {
	t.Helper()
	return startBatched(t, 0, wait, during, sources...)
}

func startBatched(t *testing.T, delay, wait time.Duration, during func(pass int), sources ...func() <-chan struct{}) *int {
	t.Helper()
	passes := new(int)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		notify.LoopBatched(ctx, delay, func(context.Context) time.Duration {
			*passes++
			if during != nil {
				during(*passes)
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
		assert.Equal(t, 1, *passes)
		signal.Notify()
		synctest.Wait()
		assert.Equal(t, 2, *passes)
		broadcast.Notify()
		synctest.Wait()
		assert.Equal(t, 3, *passes)
		time.Sleep(time.Hour)
		assert.Equal(t, 3, *passes, "without a duration there is no timer")
	})
}

func TestLoopPassesAgainAfterTheReturnedDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passes := startLoop(t, time.Minute, nil)
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 1, *passes)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 2, *passes)
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
		assert.Equal(t, 2, *passes)
	})
}

func TestBatchedLoopHandlesChangesWithinTheDelayInOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broadcast notify.Broadcast
		passes := startBatched(t, time.Second, time.Minute, nil, broadcast.Changed)
		assert.Equal(t, 1, *passes, "the first pass is not delayed")
		broadcast.Notify()
		time.Sleep(time.Second - time.Nanosecond)
		broadcast.Notify()
		synctest.Wait()
		assert.Equal(t, 1, *passes)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 2, *passes)
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 2, *passes, "both changes caused one pass")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 3, *passes, "a pass after the returned duration is not delayed")
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
