// Package adminclient connects meshctl to the admin socket of meshd. It is apart
// from package admin so that meshctl does not import the agent.
package adminclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/rpc"
)

// SocketError reports that a connection to meshd failed.
type SocketError struct {
	Socket string
	Err    error
}

// Error includes the remedy.
func (e *SocketError) Error() string {
	return fmt.Sprintf("cannot reach meshd on %s: %v; %s", e.Socket, e.Cause(), e.Remedy())
}

// Cause returns the cause without the text of net.OpError, which repeats the path.
func (e *SocketError) Cause() error {
	if number, ok := errors.AsType[syscall.Errno](e.Err); ok {
		return number
	}
	return e.Err
}

// Remedy returns what the user can do.
func (e *SocketError) Remedy() string {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return "start meshd on this host (systemctl start meshd), or give its socket with --socket, or a kubectl context of its cluster with --context"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "start meshd again (systemctl start meshd) and read its log: no process listens on the socket"
	case errors.Is(e.Err, fs.ErrPermission):
		return "run meshctl as root, or as the user that runs meshd"
	}
	return "check that meshd runs on this host"
}

// Unwrap returns the cause.
func (e *SocketError) Unwrap() error { return e.Err }

// Dial returns a client of the meshd that listens on a unix socket. Each call
// connects; errors.As finds a *SocketError in its error if that fails. The caller
// converts other errors with rpc.FromConnect.
func Dial(socket string) controlpbconnect.OperatorClient { return New(Dialer(socket)) }

// Dialer returns what connects to the meshd that listens on a unix socket. Its errors are
// *SocketErrors.
func Dialer(socket string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &SocketError{Socket: socket, Err: err}
		}
		return conn, nil
	}
}

// New returns a client of the meshd that dial connects to.
func New(dial func(context.Context) (net.Conn, error)) controlpbconnect.OperatorClient {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // meshctl makes one call
	}
	return controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd",
		connect.WithReadMaxBytes(rpc.MaxArchive))
}
