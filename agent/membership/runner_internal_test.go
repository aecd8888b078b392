package membership

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACheckForACommandDoesNotRefuseAnother(t *testing.T) {
	r := newRunner(nil, nil, nil, nil)
	started, stop, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		close(started)
		for {
			select {
			case <-stop:
				return
			default:
				r.busy()
			}
		}
	}()
	<-started
	refused := 0
	for range 200_000 {
		if !r.command.TryLock() {
			refused++
			continue
		}
		r.command.Unlock()
	}
	close(stop)
	<-ended
	assert.Zero(t, refused)
	require.True(t, r.command.TryLock())
	assert.True(t, r.busy())
	assert.False(t, r.command.TryLock())
	r.command.Unlock()
	assert.False(t, r.busy())
}

// startRunner runs a runner without a membership in the current bubble.
func startRunner(t *testing.T, r *runner) {
	t.Helper()
	r.open = func() (*running, error) { return nil, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	synctest.Wait()
}

func TestChangeRunsBetweenMemberships(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		published := 0
		r := newRunner(nil, func(context.Context) error { return nil }, func() {}, func() { published++ })
		startRunner(t, r)
		assert.Equal(t, standalone, r.currentState())
		before := published
		err := r.change(t.Context(), joining, func() error {
			assert.Equal(t, joining, r.currentState())
			return assert.AnError
		})
		require.ErrorIs(t, err, assert.AnError)
		assert.Equal(t, standalone, r.currentState())
		synctest.Wait()
		assert.Greater(t, published, before)
	})
}

func TestChangeThatIsCancelledRestoresTheState(t *testing.T) {
	r := newRunner(nil, nil, nil, nil) // it does not run
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.change(ctx, leaving, nil), context.Canceled)
	assert.Equal(t, standalone, r.currentState())
}

func TestAwaitReturnsWhenTheConditionIsMetOrTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(nil, nil, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		time.AfterFunc(time.Second, func() { r.active.Store(&running{}) })
		require.NoError(t, r.await(ctx, func(*running) bool { return true }))
		assert.WithinDuration(t, start.Add(time.Second), time.Now(), pollInterval)
		require.ErrorIs(t, r.await(ctx, func(*running) bool { return false }), context.DeadlineExceeded)
		require.NoError(t, r.await(ctx, func(*running) bool { return true }), "a condition that holds counts after the end too")
	})
}
