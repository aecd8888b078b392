package status

import (
	"context"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/notify"
)

const (
	// watchInterval is the time between two checks.
	watchInterval = 10 * time.Second
	// watchFailures is the number of consecutive failures after which the agent hangs: a
	// process that was stopped or a machine that was paused makes a pass in between.
	watchFailures = 3
)

// Watchdog returns an error when an agent that has made a pass makes none for at least
// two minutes, and nil when ctx ends. It limits no start, which may read a large
// catalog. Unlike a probe of /healthz, it depends on no port.
func Watchdog(ctx context.Context, snapshot func() Snapshot) error {
	failures, reason := 0, ""
	hangs := notify.LoopUntil(ctx, watchInterval, func(ctx context.Context) bool {
		s := snapshot()
		if s.At.IsZero() || ctx.Err() != nil {
			return false
		}
		if reason = Health(s, time.Now(), defaultMaxAge); reason == "" {
			failures = 0
			return false
		}
		failures++
		return failures >= watchFailures
	})
	if !hangs {
		return nil
	}
	return fmt.Errorf("the agent hangs: %s", reason)
}
