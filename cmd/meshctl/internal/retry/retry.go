// Package retry repeats a drain that fails for a temporary reason.
package retry

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/catalog"
)

// pause is the time between two attempts.
const pause = 250 * time.Millisecond

// Limits holds how long to retry for each temporary failure.
type Limits struct {
	Restart  time.Duration // meshd is stopped or has not read its membership yet
	Siblings time.Duration // all other gateways are drained
}

// Do repeats do while it fails for a temporary reason and the limit of that
// reason has not passed.
func (l Limits) Do(ctx context.Context, do func() error) error {
	begun := time.Now()
	for {
		err := do()
		if err == nil || time.Since(begun) >= l.limit(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// limit returns how long to retry after err; 0 is not at all.
func (l Limits) limit(err error) time.Duration {
	if _, ok := errors.AsType[*adminclient.SocketError](err); ok {
		return l.Restart
	}
	if refusal, ok := errors.AsType[*catalog.Refusal](rpc.FromConnect(err)); ok {
		switch refusal.Code {
		case "starting", "not-a-member": // the latter by a meshd of an earlier release
			return l.Restart
		case "siblings-drained":
			return l.Siblings
		}
		return 0
	}
	if rpc, ok := errors.AsType[*connect.Error](err); ok && fault.ConnectionBroken(rpc) {
		return l.Restart
	}
	return 0
}
