package api

import (
	"fmt"
	"net/http"
	"sync"

	"connectrpc.com/connect"

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
	open map[string]int
}

// enter returns a function that ends a call, or why the program may not begin it.
func (o *openCalls) enter(program string) (leave func(), err error) {
	most, whose := maxOpenProgram, "program "+program
	if program == "" {
		most, whose = maxOpenSocket, "the programs on the unix socket"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[program] >= most {
		return nil, rpc.NewRefusal(connect.CodeResourceExhausted, &catalog.Refusal{
			Code: CodeTooManyCalls, Message: fmt.Sprintf("%d calls of %s are open, which is the maximum", most, whose),
			Remedy: "close watches that are no longer needed, and watch several services in one call",
		})
	}
	if o.open == nil {
		o.open = make(map[string]int)
	}
	o.open[program]++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.open[program]--; o.open[program] == 0 {
			delete(o.open, program)
		}
	}, nil
}

// limit refuses calls of callers that have too many open.
func (o *openCalls) limit(handler http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := o.enter(access.ProgramOf(r.Context()))
		if err != nil {
			_ = refuse.Write(w, r, err) // the caller may be gone
			return
		}
		defer leave()
		handler.ServeHTTP(w, r)
	})
}
