//go:build linux

package harness

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is too short for people to notice and long compared with the
// duration of a check.
const pollInterval = 50 * time.Millisecond

// Wait polls a condition until it returns nil. If ctx is done first, the error
// names what was awaited and wraps the condition's last error, not counting that of
// a check that the end of ctx interrupted.
func Wait(ctx context.Context, what string, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; last error: %w", what, context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}
