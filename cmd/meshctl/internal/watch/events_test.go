package watch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/watch"
)

// TestWatchedEventsAreShownOnce answers five queries: with the latest events, with an
// error, with as many events as fit, with few, and with none.
func TestWatchedEventsAreShownOnce(t *testing.T) {
	for name, withThrough := range map[string]bool{"this build": true, "an earlier meshd": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				request := &controlpb.ListEventsRequest{Author: "west", Limit: 2}
				began, last := time.Now(), uint64(5)
				var requests []*controlpb.ListEventsRequest
				var at []time.Duration
				list := func() (*controlpb.ListEventsResponse, error) {
					requests = append(requests, proto.CloneOf(request))
					at = append(at, time.Since(began))
					events := []int{2, 0, watch.MaxEvents, 3, 0}
					if len(requests) == len(events) {
						cancel()
					}
					response := &controlpb.ListEventsResponse{}
					for range events[len(requests)-1] {
						last++
						response.Events = append(response.Events, &controlpb.Event{Index: last})
					}
					if len(requests) == 2 {
						return nil, errors.New("meshd is restarting")
					}
					if withThrough {
						response.Through = last
					}
					return response, nil
				}
				var shown []uint64
				show := func(response *controlpb.ListEventsResponse) error {
					for _, e := range response.GetEvents() {
						shown = append(shown, e.GetIndex())
					}
					return nil
				}
				failed := 0
				require.NoError(t, watch.Events(ctx, request, list, show, func(err error) {
					if err != nil {
						failed++
					}
				}))
				assert.Equal(t, 1, failed)
				assert.Len(t, shown, 2+watch.MaxEvents+3)
				assert.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 2 * time.Second, 3 * time.Second}, at, "at once after a full answer")
				assert.True(t, proto.Equal(&controlpb.ListEventsRequest{Author: "west", Limit: 2}, requests[0]))
				for i, after := range map[int]uint64{1: 7, 2: 7, 3: 7 + watch.MaxEvents, 4: 10 + watch.MaxEvents} {
					assert.True(t, proto.Equal(&controlpb.ListEventsRequest{Author: "west", Limit: watch.MaxEvents, After: after}, requests[i]), "request %d", i)
				}
			})
		})
	}
}
