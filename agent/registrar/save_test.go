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

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
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
		w.run(t)
		w.store.err, w.store.delay = errors.New("disk full"), time.Millisecond
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() {
				_, _, err := w.Register(t.Context(), service(fmt.Sprintf("web%d", i), "10.1.0.10"))
				assert.ErrorContains(t, err, "disk full")
			})
		}
		callers.Wait()
		synctest.Wait()
		assert.Empty(t, w.catalog.services(), "what was written to the catalog at the same time is removed")
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

func TestARegistrationIsAcknowledgedWhenBothTheStoreAndTheCatalogHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, slow := range []string{"store", "catalog"} {
			w := newWorld(t)
			if slow == "store" {
				w.store.delay = 5 * time.Second
			} else {
				w.catalog.before = func(*catalogpb.Command) { time.Sleep(5 * time.Second) }
			}
			var returned atomic.Bool
			go func() {
				_, queued, err := w.Register(t.Context(), service("web", "10.1.0.10"))
				assert.NoError(t, err)
				assert.False(t, queued)
				returned.Store(true)
			}()
			time.Sleep(4 * time.Second)
			assert.False(t, returned.Load(), slow)
			assert.Equal(t, slow == "store", len(w.catalog.services()) > 0, "they are written at the same time")
			time.Sleep(2 * time.Second)
			assert.True(t, returned.Load(), slow)
			assert.Equal(t, []string{"web"}, w.catalog.services())
			assert.Equal(t, []string{"web"}, names(w.store.services))
		}
	})
}

func TestConcurrentRegistrationsShareWritesOfTheCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.catalog.before = func(*catalogpb.Command) { time.Sleep(10 * time.Millisecond) }
		before := w.catalog.calls
		registerAll(t, w, 64)
		assert.Len(t, w.catalog.services(), 64)
		assert.LessOrEqual(t, w.catalog.calls-before, 2, "the first one, and all others")
	})
}

func TestARejectedRegistrationDoesNotRejectThoseThatShareItsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.catalog.reject = "web7"
		w.catalog.before = func(*catalogpb.Command) { time.Sleep(10 * time.Millisecond) }
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				name := fmt.Sprintf("web%d", i)
				_, _, err := w.Register(t.Context(), service(name, "10.1.0.10"))
				if name == w.catalog.reject {
					assert.ErrorIs(t, err, consensus.ErrRejected)
				} else {
					assert.NoError(t, err)
				}
			})
		}
		callers.Wait()
		assert.Len(t, w.catalog.services(), 15)
	})
}

// slowSigner makes a comparison take a time.
type slowSigner struct {
	registrar.Signer
	delay    time.Duration
	compared *atomic.Int64
}

func (s slowSigner) Unsigned(v *replica.View) (gateway, datacenter bool) {
	s.compared.Add(1)
	time.Sleep(s.delay)
	return s.Signer.Unsigned(v)
}

func TestChangesOfTheCatalogTakeAPartOfTheTimeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var compared atomic.Int64
		w.config.Signer = slowSigner{w.config.Signer, 10 * time.Millisecond, &compared}
		w.open(t)
		w.run(t)
		time.Sleep(time.Second)
		compared.Store(0)
		for range 1000 {
			w.catalog.changed.Notify()
			time.Sleep(time.Millisecond)
		}
		assert.InDelta(t, 2, compared.Load(), 1, "2 % of the time")

		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		time.Sleep(time.Second)
		w.catalog.changed.Notify()
		time.Sleep(50 * time.Millisecond) // it has compared, and rests
		before := compared.Load()
		_, queued, err := w.Register(t.Context(), service("web", "10.1.0.10"))
		require.NoError(t, err)
		require.True(t, queued)
		synctest.Wait()
		assert.Equal(t, before+1, compared.Load(), "what differs is compared at once")
	})
}
