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
	passes := new(int)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		notify.Loop(ctx, func(context.Context) time.Duration {
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
