//go:build linux

package harness

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is short against what people notice and long against what a
// check costs.
const pollEvery = 50 * time.Millisecond

// Wait polls a condition until it returns nil. When ctx ends first, the error
// says what was awaited and holds the condition's last one.
func Wait(ctx context.Context, what string, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; last: %w", what, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}
