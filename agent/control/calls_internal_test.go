package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestCallsOfOneMemberWaitForEachOtherAndNotForThoseOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(calls)
		var leave []func()
		for range maxCalls {
			l, err := c.enter(t.Context(), "west/gw0", need{bytes: 1})
			require.NoError(t, err)
			leave = append(leave, l)
		}
		other, err := c.enter(t.Context(), "east/gw0", need{bytes: 1})
		require.NoError(t, err)
		other()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.enter(ctx, "west/gw0", need{bytes: 1})
		require.ErrorIs(t, err, context.Canceled)

		entered := false
		go func() {
			l, err := c.enter(t.Context(), "west/gw0", need{bytes: 1})
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

func TestRequestsOfOneDatacenterAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(calls)
		var leave []func()
		for i := range maxBytes / maxApply {
			l, err := c.enter(t.Context(), catalog.NewGatewayID("west", fmt.Sprint("gw", i)), need{bytes: maxApply})
			require.NoError(t, err)
			leave = append(leave, l)
		}
		other, err := c.enter(t.Context(), "east/gw0", need{bytes: maxApply})
		require.NoError(t, err)
		other()
		ctx, cancel := context.WithCancel(t.Context())
		entered := make(chan error, 1)
		go func() {
			_, err := c.enter(ctx, "west/new", need{bytes: 1})
			entered <- err
		}()
		synctest.Wait()
		assert.Empty(t, entered, "another gateway of the datacenter waits, too")
		cancel()
		require.ErrorIs(t, <-entered, context.Canceled)
		go func() {
			l, err := c.enter(t.Context(), "west/new", need{bytes: maxApply})
			if err == nil {
				l()
			}
			entered <- err
		}()
		synctest.Wait()
		assert.Empty(t, entered)
		leave[0]()
		require.NoError(t, <-entered)
		for _, l := range leave[1:] {
			l()
		}
		assert.Empty(t, c.members)
	})
}

// What a request takes in memory follows from its size when it is decompressed.
func TestSizeOfARequestIsThatAfterDecompression(t *testing.T) {
	request := httptest.NewRequest(http.MethodPost, controlpbconnect.FederationApplyProcedure, strings.NewReader("four"))
	assert.EqualValues(t, 4, sizeOf(request))
	request.Header.Set("Content-Encoding", "gzip")
	assert.EqualValues(t, maxApply, sizeOf(request))
	request = httptest.NewRequest(http.MethodPost, controlpbconnect.FederationApplyProcedure, io.MultiReader(strings.NewReader("four")))
	assert.EqualValues(t, maxApply, sizeOf(request), "of unknown length")
	assert.Less(t, proposalsMaxEntry, maxApply, "the commands of an entry fit")
	assert.LessOrEqual(t, int64(maxApply), int64(maxBytes))
}

// proposalsMaxEntry is the most bytes of commands in one call of a member: raftnode splits
// larger ones.
const proposalsMaxEntry = 256 << 10

func TestCallsOfOneDatacenterThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(calls)
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		for i := range maxOpen {
			ended.Go(func() {
				leave, err := c.enter(ctx, catalog.NewGatewayID("west", fmt.Sprint("gw", i%63)), need{bytes: maxApply})
				if err == nil {
					<-ctx.Done()
					leave()
				}
			})
		}
		synctest.Wait()
		_, err := c.enter(t.Context(), "west/new", need{bytes: 1})
		assert.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), "%v", err)
		other, err := c.enter(t.Context(), "east/gw0", need{bytes: maxApply})
		require.NoError(t, err)
		other()
		cancel()
		ended.Wait()
		assert.Empty(t, c.members)
	})
}

// The answer to each has a copy of the catalog.
func TestEnrolmentsOfOneDatacenterAreAnsweredTwoAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(calls)
		var leave []func()
		for i := range maxEnrols {
			l, err := c.enter(t.Context(), catalog.NewGatewayID("west", fmt.Sprint("new", i)), need{bytes: 1, enrols: true})
			require.NoError(t, err)
			leave = append(leave, l)
		}
		entered := make(chan error, 1)
		go func() {
			l, err := c.enter(t.Context(), "west/another", need{bytes: 1, enrols: true})
			if err == nil {
				l()
			}
			entered <- err
		}()
		synctest.Wait()
		assert.Empty(t, entered, "it waits")
		for _, id := range []catalog.GatewayID{"west/another", "east/gw0"} {
			l, err := c.enter(t.Context(), id, need{bytes: 1, enrols: id.Datacenter() == "east"})
			require.NoError(t, err)
			l()
		}
		leave[0]()
		require.NoError(t, <-entered)
		leave[1]()
		assert.Empty(t, c.members)
	})
}
