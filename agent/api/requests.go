package api

import (
	"context"
	"crypto/sha256"
	"fmt"
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
	id     string
	at     time.Time
	digest digest        // of the message, which may be large
	done   chan struct{} // closed when the result is there
	result any
	err    error
}

type digest [sha256.Size]byte

// digestOf returns the same for equal messages of one build.
func digestOf(message proto.Message) (digest, error) {
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return digest{}, fmt.Errorf("encode a request: %w", err)
	}
	return sha256.Sum256(append([]byte(message.ProtoReflect().Descriptor().FullName()+"\n"), content...)), nil
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
	content, err := digestOf(message)
	if err != nil {
		return nil, err
	}
	r, first := rs.begin(id, content)
	if !first {
		if r.digest != content {
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
func (rs *requests) begin(id string, content digest) (r *request, first bool) {
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
	r = &request{id: id, at: now, digest: content, done: make(chan struct{})}
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
