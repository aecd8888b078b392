package status_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
)

func TestWatchdogEndsAnAgentThatMakesNoPassForTwoMinutes(t *testing.T) {
	for name, c := range map[string]struct {
		passes func(since time.Duration) bool // whether there is a pass at that time after the start
		hangs  time.Duration                  // the time after the start at which the watchdog ends the agent; 0: never
	}{
		"passes each 30 s":           {func(since time.Duration) bool { return since%(30*time.Second) == 0 }, 0},
		"no pass yet":                {func(time.Duration) bool { return false }, 0},
		"the last pass at 30 s":      {func(since time.Duration) bool { return since == 30*time.Second }, 150 * time.Second},
		"stopped from 30 s to 125 s": {func(since time.Duration) bool { return since == 30*time.Second || since >= 125*time.Second }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				start, last := time.Now(), time.Time{}
				err := status.Watchdog(ctx, func() status.Snapshot {
					for since := time.Duration(0); since <= time.Since(start); since += 5 * time.Second {
						if c.passes(since) {
							last = start.Add(since)
						}
					}
					return status.Snapshot{At: last}
				})
				if c.hangs == 0 {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, "the agent hangs: the agent's last pass was 2m0s ago")
				assert.Equal(t, c.hangs, time.Since(start))
			})
		})
	}
}
