package watch

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/control/controlpb"
)

const (
	// MaxEvents is how many events meshd returns at once.
	MaxEvents = 10_000
	// eventsInterval is the time between two queries.
	eventsInterval = time.Second
)

// Events shows the latest events and then new ones until ctx ends, each once. list lists
// those of request, which Events changes. It continues after errors, which it passes to
// retry, since meshd may be restarting.
func Events(ctx context.Context, request *controlpb.ListEventsRequest,
	list func() (*controlpb.ListEventsResponse, error), show func(*controlpb.ListEventsResponse) error, retry func(error),
) error {
	ticker := time.NewTicker(eventsInterval)
	defer ticker.Stop()
	for {
		response, err := list()
		if ctx.Err() != nil {
			return nil
		}
		retry(err)
		n := len(response.GetEvents())
		if n > 0 {
			if err := show(response); err != nil {
				return err
			}
		}
		more := request.GetAfter() > 0 && n >= int(request.GetLimit())
		if after := continuation(response); after > request.GetAfter() {
			request.After, request.Limit = after, MaxEvents
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// continuation returns the index after which new events follow those of a response. A
// meshd of an earlier build sends none.
func continuation(response *controlpb.ListEventsResponse) uint64 {
	events := response.GetEvents()
	if through := response.GetThrough(); through > 0 || len(events) == 0 {
		return through
	}
	return events[len(events)-1].GetIndex()
}
