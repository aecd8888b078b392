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
// the oldest of the program with the most are forgotten first.
const (
	requestTTL  = 10 * time.Minute
	maxRequests = 4096
	maxID       = 128 // bytes
)

// requests has the results of writes by their request_id, of each program for itself.
type requests struct {
	now func() time.Time

	mu    sync.Mutex // guards all following
	byID  map[requestID]*request
	order map[string][]*request // by program, each by time and not empty
}

// requestID is an id that a program has chosen.
type requestID struct {
	program string // empty: all that use the unix socket
	id      string
}

type request struct {
	id     requestID
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
	return &requests{now: now, byID: map[requestID]*request{}, order: map[string][]*request{}}
}

// once calls do for the first request with an id, and returns its result for those that
// repeat it. For a request without an id, it always calls do. An outcome that another
// attempt can change is not kept.
func once[T any](ctx context.Context, rs *requests, id requestID, message proto.Message, do func(context.Context) (*T, error)) (*connect.Response[T], error) {
	if id.id == "" {
		return respond(do(ctx))
	}
	if len(id.id) > maxID {
		return nil, invalid("request_id", "the id is longer than 128 bytes", "use a short one, such as a UUID")
	}
	content, err := digestOf(message)
	if err != nil {
		return nil, err
	}
	r, first := rs.begin(id, content)
	if !first {
		if r.digest != content {
			return nil, requestReused(id.id)
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
func (rs *requests) begin(id requestID, content digest) (r *request, first bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := rs.now()
	rs.makeRoom(id.program, now)
	if r := rs.byID[id]; r != nil {
		return r, false
	}
	r = &request{id: id, at: now, digest: content, done: make(chan struct{})}
	rs.byID[id] = r
	rs.order[id.program] = append(rs.order[id.program], r)
	return r, true
}

// makeRoom removes the requests that are too old, and one for the next of a program if
// there are too many; rs.mu is held.
func (rs *requests) makeRoom(next string, now time.Time) {
	kept, most := 0, next
	for program := range rs.order {
		for len(rs.order[program]) > 0 && now.Sub(rs.order[program][0].at) > requestTTL {
			rs.removeOldest(program)
		}
		kept += len(rs.order[program])
		if len(rs.order[program]) > len(rs.order[most]) {
			most = program
		}
	}
	if kept >= maxRequests {
		rs.removeOldest(most)
	}
}

// removeOldest removes the oldest request of a program that has one; rs.mu is held.
func (rs *requests) removeOldest(program string) {
	of := rs.order[program]
	if rs.byID[of[0].id] == of[0] {
		delete(rs.byID, of[0].id)
	}
	if rs.order[program] = of[1:]; len(of) == 1 {
		delete(rs.order, program)
	}
}

// forget lets the next request with the id be done.
func (rs *requests) forget(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byID[r.id] == r {
		delete(rs.byID, r.id)
	}
}
