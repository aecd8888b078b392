package control

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallsOfOneMemberWaitForEachOtherAndNotForThoseOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(calls)
		var leave []func()
		for range maxCalls {
			l, err := c.enter(t.Context(), "west/gw0")
			require.NoError(t, err)
			leave = append(leave, l)
		}
		other, err := c.enter(t.Context(), "east/gw0")
		require.NoError(t, err)
		other()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.enter(ctx, "west/gw0")
		require.ErrorIs(t, err, context.Canceled)

		entered := false
		go func() {
			l, err := c.enter(t.Context(), "west/gw0")
			assert.NoError(t, err)
			entered = true
			l()
		}()
		synctest.Wait()
		assert.False(t, entered)
		leave[0]()
		synctest.Wait()
		assert.True(t, entered)
		for _, l := range leave[1:] {
			l()
		}
		assert.Empty(t, c.members, "nothing is kept of a member without calls")
	})
}
