//go:build linux

package harness_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

func TestWaitReportsTheLastErrorBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := errors.New("not within a second")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, late)
		defer cancel()
		refused := errors.New("connection refused")
		checks := 0
		err := harness.Wait(ctx, "the server answers", func(ctx context.Context) error {
			if checks++; checks < 3 {
				return refused
			}
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, late)
		require.ErrorIs(t, err, refused)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "wait until the server answers")
	})
}

func TestWaitReportsTheErrorOfItsOnlyCheck(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failure := errors.New("failure")
	require.ErrorIs(t, harness.Wait(ctx, "it works", func(context.Context) error { return failure }), failure)
}
