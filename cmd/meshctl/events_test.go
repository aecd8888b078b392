package main

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/watch"
)

func TestWatchedEventsContinueAfterThoseOfOthers(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	o := &fakeMeshd{hang: make(chan struct{})}
	go func() {
		defer interrupt()
		for range 2 { // each call receives once
			o.hang <- struct{}{}
		}
	}()
	r := runAt(ctx, func(string) string { return "" }, "", "events", "--watch", "--author", "west", "--limit", "5", "--socket", serve(t, o))
	assert.Equal(t, fault.ExitOK, r.code, r.err)
	require.GreaterOrEqual(t, len(o.requests), 2)
	o.hang = nil
	shown, err := o.ListEvents(t.Context(), connect.NewRequest(&controlpb.ListEventsRequest{}))
	require.NoError(t, err)
	events := shown.Msg.GetEvents()
	last := events[len(events)-1]
	assert.True(t, proto.Equal(&controlpb.ListEventsRequest{Author: "west", Limit: 5}, o.requests[0]))
	assert.True(t, proto.Equal(&controlpb.ListEventsRequest{Author: "west", Limit: watch.MaxEvents, After: shown.Msg.GetThrough()}, o.requests[1]))
	assert.Greater(t, shown.Msg.GetThrough(), last.GetIndex(), "what others wrote is not searched again")
	assert.Equal(t, 1, strings.Count(r.out, last.GetSubject()), "an event is printed once: %s", r.out)
}
