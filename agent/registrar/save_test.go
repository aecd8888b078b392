package registrar_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestConcurrentRegistrationsShareWritesOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.store.delay = 10 * time.Millisecond
		began := time.Now()
		const callers = 64
		registerAll(t, w, callers)
		assert.Len(t, w.store.services, callers)
		assert.Len(t, w.catalog.services(), callers)
		assert.LessOrEqual(t, w.store.saved, 2, "the first one, and all others")
		assert.LessOrEqual(t, time.Since(began), 20*time.Millisecond)
	})
}

// Each commit wakes the registrar, while other services are stored and not yet
// written.
func TestRegistrationsOfOthersWriteNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var calls atomic.Int64
		w.catalog.before = func(*catalogpb.Command) { time.Sleep(time.Duration(calls.Add(1)) * time.Millisecond) }
		w.run(t)
		registerAll(t, w, 64)
		time.Sleep(time.Second) // for what the registrar has begun to write
		assert.Len(t, w.catalog.puts, 64)
		for name, puts := range w.catalog.puts {
			assert.Equal(t, 1, puts, name)
		}
	})
}

func TestFailedWriteOfTheStoreIsReturnedToAllItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.err, w.store.delay = errors.New("disk full"), time.Millisecond
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() {
				_, _, err := w.Register(t.Context(), service(fmt.Sprintf("web%d", i), "10.1.0.10"))
				assert.ErrorContains(t, err, "disk full")
			})
		}
		callers.Wait()
		assert.Empty(t, w.catalog.services())
		w.store.err = nil
		_, _, err := w.Register(t.Context(), service("web", "10.1.0.10"))
		require.NoError(t, err)
	})
}

func registerAll(t *testing.T, w *world, n int) {
	t.Helper()
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() {
			_, _, err := w.Register(t.Context(), service(fmt.Sprintf("web%d", i), "10.1.0.10"))
			assert.NoError(t, err)
		})
	}
	callers.Wait()
	synctest.Wait()
}

// What the catalog has and the store does not would be undone after a restart, though
// others have read it.
func TestTheCatalogGetsAServiceAfterTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.store.delay = time.Minute
		go func() { _, _, _ = w.Register(t.Context(), service("web", "10.1.0.10")) }()
		time.Sleep(50 * time.Second)
		assert.Empty(t, w.catalog.services())
		time.Sleep(20 * time.Second)
		assert.Equal(t, []string{"web"}, w.catalog.services())
	})
}
