package dataplane

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// TestDropsOfUnencryptedPacketsWakeAtOnce reads the counters as a pass does.
func TestDropsOfUnencryptedPacketsWakeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		firewall := routestest.NewFilter()
		require.NoError(t, firewall.Apply(t.Context(), routestest.SampleFirewall()))
		var last atomic.Pointer[drops] // another goroutine reads it
		last.Store(&drops{})
		var wakes atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		go watchDrops(ctx, firewall, func() drops { return *last.Load() }, func() { wakes.Add(1) })
		await := func() {
			time.Sleep(dropsInterval)
			synctest.Wait()
		}
		pass := func() {
			counters, err := firewall.Counters(t.Context())
			require.NoError(t, err)
			after := last.Load().next(time.Now(), counters)
			last.Store(&after)
		}
		firewall.Count(routes.CounterUnencrypted, 5)
		await()
		assert.Zero(t, wakes.Load(), "no pass has read the counters")
		pass()
		firewall.Count(routes.CounterUnderlay, 1)
		await()
		assert.Zero(t, wakes.Load())
		firewall.Count(routes.CounterUnencrypted, 1)
		await()
		assert.EqualValues(t, 1, wakes.Load())
		pass()
		firewall.Count(routes.CounterUnencrypted, 1)
		await()
		assert.EqualValues(t, 1, wakes.Load(), "the problem is reported already")
		cancel()
		synctest.Wait()
	})
}
