package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sync/semaphore"

	"github.com/meshway/meshway/agent/api/access"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// Bounds of the calls that a caller has open at a time, most of which are watches: each
// holds goroutines, and the response that it sends.
const (
	maxOpenProgram = 1024   // of the programs with one token
	maxOpenSocket  = 16_384 // of all that use the unix socket
)

// openCalls are the calls that are open, by the name of the program; empty: of those on the
// unix socket.
type openCalls struct {
	mu   sync.Mutex // guards open
	open map[string]*caller
}

// caller is a program, or all that use the unix socket, while it has calls open.
type caller struct {
	calls  int
	memory *semaphore.Weighted // of maxMemory
}

// enter returns a function that ends a call, or why the program may not begin it.
func (o *openCalls) enter(program string) (by *caller, leave func(), err error) {
	most, whose := maxOpenProgram, "program "+program
	if program == "" {
		most, whose = maxOpenSocket, "the programs on the unix socket"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	by = o.open[program]
	if by != nil && by.calls >= most {
		return nil, nil, rpc.NewRefusal(connect.CodeResourceExhausted, &catalog.Refusal{
			Code: CodeTooManyCalls, Message: fmt.Sprintf("%d calls of %s are open, which is the maximum", most, whose),
			Remedy: "close watches that are no longer needed, and watch several services in one call",
		})
	}
	if o.open == nil {
		o.open = make(map[string]*caller)
	}
	if by == nil {
		by = &caller{memory: semaphore.NewWeighted(maxMemory)}
		o.open[program] = by
	}
	by.calls++
	return by, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if by.calls--; by.calls == 0 {
			delete(o.open, program)
		}
	}, nil
}

// limit refuses calls of callers that have too many open, and gives the others a grant.
func (o *openCalls) limit(handler http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, leave, err := o.enter(access.ProgramOf(r.Context()))
		if err != nil {
			_ = refuse.Write(w, r, err) // the caller may be gone
			return
		}
		defer leave()
		g := &grant{of: by.memory}
		defer g.release()
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, g)))
	})
}
