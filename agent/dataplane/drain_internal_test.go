package dataplane

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
)

func TestDrainOutlivesTheAgent(t *testing.T) {
	store := state.File[StoredDrain]{Path: t.TempDir() + "/drain.json", What: "drain"}
	now := time.Now()
	d := NewDrain(store)
	require.NoError(t, d.Load(), "there is no drain")
	assert.False(t, d.On(now))
	require.NoError(t, d.Begin(now.Add(time.Hour)))
	d.finish()

	again := NewDrain(store)
	require.NoError(t, again.Load())
	step, left := again.At(now)
	assert.Equal(t, plan.Draining, step, "whether traffic arrives is determined again")
	assert.Equal(t, time.Hour, left.Round(time.Second))
	assert.False(t, again.On(now.Add(time.Hour)), "the time has elapsed")
	require.NoError(t, again.End())
	require.NoError(t, again.End(), "it is idempotent")

	third := NewDrain(store)
	require.NoError(t, third.Load())
	assert.False(t, third.On(now))
}

type failingStore struct{}

func (failingStore) Load() (StoredDrain, bool, error) { return StoredDrain{}, false, assert.AnError }
func (failingStore) Save(StoredDrain) error           { return assert.AnError }
func (failingStore) Remove() error                    { return assert.AnError }

func TestDrainThatIsNotStoredDoesNotBegin(t *testing.T) {
	d := NewDrain(failingStore{})
	require.ErrorIs(t, d.Load(), assert.AnError)
	changed := d.Changed()
	require.ErrorIs(t, d.Begin(time.Time{}), assert.AnError)
	assert.False(t, d.On(time.Now()))
	require.ErrorIs(t, d.End(), assert.AnError)
	select {
	case <-changed:
		t.Error("nothing has changed")
	default:
	}
}

func TestDrainWithoutAStoreIsKeptInMemory(t *testing.T) {
	d := NewDrain(nil)
	require.NoError(t, d.Load())
	require.NoError(t, d.Begin(time.Time{}))
	step, left := d.At(time.Now())
	assert.Equal(t, plan.Draining, step)
	assert.Zero(t, left, "it has no end")
	d.finish()
	require.NoError(t, d.Begin(time.Time{}))
	step, _ = d.At(time.Now())
	assert.Equal(t, plan.Drained, step, "a second drain does not start over")
	require.NoError(t, d.End())
	d.finish()
	assert.False(t, d.On(time.Now()), "a drain that has ended does not finish")
}

func TestAwaitReturnsTheStateOfADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDrain(nil)
		require.NoError(t, d.Begin(time.Time{}))
		step, err := d.Await(t.Context(), time.Second)
		require.NoError(t, err)
		assert.Equal(t, plan.Draining, step, "after the bound")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.Await(ctx, time.Hour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Second, d.finish)
		step, err = d.Await(t.Context(), time.Hour)
		require.NoError(t, err)
		assert.Equal(t, plan.Drained, step)
		time.AfterFunc(time.Second, func() { assert.NoError(t, d.End()) })
		step, err = d.Await(t.Context(), time.Hour)
		require.NoError(t, err)
		assert.Equal(t, plan.Drained, step, "it is complete already")
	})
}

func TestAwaitReturnsWhenTheTimeOfADrainHasElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, begun := NewDrain(nil), time.Now()
		require.NoError(t, d.Begin(begun.Add(3*time.Second)))
		step, err := d.Await(t.Context(), time.Hour)
		require.NoError(t, err)
		assert.Equal(t, plan.Active, step)
		assert.Equal(t, 3*time.Second, time.Since(begun))
		d.finish()
		require.NoError(t, d.Begin(time.Time{}))
		step, _ = d.At(time.Now())
		assert.Equal(t, plan.Draining, step, "the next drain starts over")
	})
}

func TestDrainFinishesWhenTrafficHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGatewayWorld(t)
		w.pass(t.Context())
		peer := w.status().Tunnels[0].Peers[0]
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); w.finishDrains(ctx) }()
		defer func() { cancel(); <-ended }()
		step := func() plan.Drain {
			synctest.Wait()
			step, _ := w.cfg.Drain.At(time.Now())
			return step
		}
		require.NoError(t, w.cfg.Drain.Begin(time.Time{}))
		time.Sleep(drainSampleInterval / 2) // between two samples
		for range 5 {
			w.tunnels.Handshake("mesh0", peer.PublicKey, peer.Endpoint, time.Now(), 10*drainedRate)
			time.Sleep(drainSampleInterval)
		}
		assert.Equal(t, plan.Draining, step())
		time.Sleep(2 * drainSampleInterval)
		assert.Equal(t, plan.Drained, step())
		require.NoError(t, w.cfg.Drain.End())
		time.Sleep(time.Hour)
		assert.Equal(t, plan.Active, step())
	})
}
