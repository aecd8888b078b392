package sharedcall_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/sharedcall"
)

// function is a function whose calls end when the test lets them.
type function struct {
	mu       sync.Mutex // guards all following
	calls    [][]int
	canceled int
	end      chan error
}

func (f *function) do(ctx context.Context, arguments []int) ([]int, error) {
	f.mu.Lock()
	f.calls = append(f.calls, arguments)
	f.mu.Unlock()
	select {
	case err := <-f.end:
		return arguments, err
	case <-ctx.Done():
		f.mu.Lock()
		f.canceled++
		f.mu.Unlock()
		return nil, ctx.Err()
	}
}

func newGroup() (*function, *sharedcall.Group[int, int]) {
	f := &function{end: make(chan error)}
	return f, &sharedcall.Group[int, int]{Do: f.do, Limit: 10, AtOnce: 1}
}

func TestCallersThatWaitShareTheNextCallAndGetTheirOwnResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, group := newGroup()
		call := func(argument int) {
			result, err := group.Call(t.Context(), argument, 1)
			assert.NoError(t, err)
			assert.Equal(t, argument, result)
		}
		go call(0)
		synctest.Wait() // the first is under way: it is not shared with those that follow
		for argument := 1; argument <= 5; argument++ {
			go call(argument)
		}
		synctest.Wait()
		f.end <- nil
		f.end <- nil
		synctest.Wait()
		require.Len(t, f.calls, 2)
		assert.Equal(t, []int{0}, f.calls[0])
		assert.ElementsMatch(t, []int{1, 2, 3, 4, 5}, f.calls[1])
	})
}

func TestTheWeightOfACallIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, group := newGroup()
		for argument, weight := range []int{1, 6, 5, 99} {
			go func() {
				_, err := group.Call(t.Context(), argument, weight)
				assert.NoError(t, err)
			}()
			synctest.Wait()
		}
		for range 4 {
			f.end <- nil
		}
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {2}, {3}}, f.calls)
	})
}

func TestAllCallersOfACallThatFailsGetItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, group := newGroup()
		failure := errors.New("failed")
		for range 3 {
			go func() {
				_, err := group.Call(t.Context(), 0, 1)
				assert.ErrorIs(t, err, failure)
			}()
			synctest.Wait()
		}
		f.end <- failure
		f.end <- failure
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {0, 0}}, f.calls)
	})
}

func TestACallIsCancelledWhenAllItsCallersHaveLeftAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, group := newGroup()
		go func() { _, _ = group.Call(t.Context(), 0, 1) }()
		synctest.Wait()
		var leave []context.CancelFunc
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			leave = append(leave, cancel)
			go func() {
				_, err := group.Call(ctx, 1, 1)
				assert.ErrorIs(t, err, context.Canceled)
			}()
		}
		synctest.Wait()
		f.end <- nil
		synctest.Wait()
		leave[0]()
		synctest.Wait()
		assert.Zero(t, f.canceled)
		leave[1]()
		synctest.Wait()
		assert.Equal(t, 1, f.canceled)
		assert.Equal(t, [][]int{{0}, {1, 1}}, f.calls)
	})
}

func TestNothingIsDoneForACallerThatLeavesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, group := newGroup()
		go func() { _, _ = group.Call(t.Context(), 0, 1) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = group.Call(ctx, 1, 1) }()
		synctest.Wait()
		cancel()
		f.end <- nil
		synctest.Wait()
		assert.Equal(t, [][]int{{0}}, f.calls)
		go func() { _, _ = group.Call(t.Context(), 2, 1) }()
		synctest.Wait()
		f.end <- nil
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {2}}, f.calls)
	})
}
