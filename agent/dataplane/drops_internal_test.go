package dataplane

import (
	"context"
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
		var last drops
		wakes := 0
		ctx, cancel := context.WithCancel(t.Context())
		go watchDrops(ctx, firewall, func() drops { return last }, func() { wakes++ })
		await := func() {
			time.Sleep(dropsInterval)
			synctest.Wait()
		}
		pass := func() {
			counters, err := firewall.Counters(t.Context())
			require.NoError(t, err)
			last = last.next(time.Now(), counters)
		}
		firewall.Count(routes.CounterUnencrypted, 5)
		await()
		assert.Zero(t, wakes, "no pass has read the counters")
		pass()
		firewall.Count(routes.CounterUnderlay, 1)
		await()
		assert.Zero(t, wakes)
		firewall.Count(routes.CounterUnencrypted, 1)
		await()
		assert.Equal(t, 1, wakes)
		pass()
		firewall.Count(routes.CounterUnencrypted, 1)
		await()
		assert.Equal(t, 1, wakes, "the problem is reported already")
		cancel()
		synctest.Wait()
	})
}
