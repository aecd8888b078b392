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

// SocketError says that meshd cannot be spoken to.
type SocketError struct {
	Socket string
	Err    error
}

// Error says what is wrong and what to do.
func (e *SocketError) Error() string {
	return fmt.Sprintf("reach meshd on %s: %v; %s", e.Socket, cause(e.Err), e.Remedy())
}

// Remedy says what to do next.
func (e *SocketError) Remedy() string {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return "start meshd on this host (systemctl start meshd), or name its socket with --socket"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "meshd has ended; start it again (systemctl start meshd) and look at its log"
	case errors.Is(e.Err, fs.ErrPermission):
		return "run meshctl as root, or as the user that runs meshd"
	}
	return "see whether meshd is running on this host"
}

// Unwrap gives the cause.
func (e *SocketError) Unwrap() error { return e.Err }

// cause drops the words of net.OpError, which repeat the path.
func cause(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}

// Dial returns a client of the meshd that listens on a unix socket. It
// connects at each call; errors.As then finds a *SocketError when it cannot. The
// other errors are for rpc.FromConnect.
func Dial(socket string) controlpbconnect.OperatorClient {
	return New(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &SocketError{Socket: socket, Err: err}
		}
		return conn, nil
	})
}

// New returns a client of the meshd that dial leads to.
func New(dial func(context.Context) (net.Conn, error)) controlpbconnect.OperatorClient {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // one call and then the program ends
	}
	return controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd",
		connect.WithReadMaxBytes(rpc.MaxArchive))
}
