package api

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// Bounds of the results that are kept for repeated requests. When there are too many,
// the oldest are forgotten first.
const (
	requestTTL  = 10 * time.Minute
	maxRequests = 4096
	maxID       = 128 // bytes
)

// requests has the results of writes by their request_id.
type requests struct {
	now func() time.Time

	mu    sync.Mutex // guards all following
	byID  map[string]*request
	order []*request // by time
}

type request struct {
	id      string
	at      time.Time
	message proto.Message
	done    chan struct{} // closed when the result is there
	result  any
	err     error
}

func newRequests(now func() time.Time) *requests {
	return &requests{now: now, byID: map[string]*request{}}
}

// once calls do for the first request with an id, and returns its result for those that
// repeat it. For a request without an id, it always calls do. An outcome that another
// attempt can change is not kept.
func once[T any](ctx context.Context, rs *requests, id string, message proto.Message, do func(context.Context) (*T, error)) (*connect.Response[T], error) {
	if id == "" {
		return respond(do(ctx))
	}
	if len(id) > maxID {
		return nil, invalid("request_id", "the id is longer than 128 bytes", "use a short one, such as a UUID")
	}
	r, first := rs.begin(id, message)
	if !first {
		if !proto.Equal(r.message, message) {
			return nil, requestReused(id)
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		result, _ := r.result.(*T)
		return respond(result, r.err)
	}
	result, err := do(context.WithoutCancel(ctx)) // others may wait for it; its time is bounded
	r.result, r.err = result, err
	if err != nil && connect.CodeOf(err) != connect.CodeAborted {
		rs.forget(r)
	}
	close(r.done)
	return respond(result, err)
}

func respond[T any](result *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(result), nil
}

// begin returns the request with an id, and whether it is new.
func (rs *requests) begin(id string, message proto.Message) (r *request, first bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := rs.now()
	for len(rs.order) > 0 && (len(rs.order) >= maxRequests || now.Sub(rs.order[0].at) > requestTTL) {
		oldest := rs.order[0]
		rs.order = rs.order[1:]
		if rs.byID[oldest.id] == oldest {
			delete(rs.byID, oldest.id)
		}
	}
	if r := rs.byID[id]; r != nil {
		return r, false
	}
	r = &request{id: id, at: now, message: message, done: make(chan struct{})}
	rs.byID[id] = r
	rs.order = append(rs.order, r)
	return r, true
}

// forget lets the next request with the id be done.
func (rs *requests) forget(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byID[r.id] == r {
		delete(rs.byID, r.id)
	}
}
