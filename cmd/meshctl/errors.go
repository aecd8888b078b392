package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/consensus/catalog"
)

// The exit codes; help.go documents them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitProblems    = 3
	exitRefused     = 4
	exitUnreachable = 5
	exitNoLeader    = 6
	exitInterrupted = 130 // 128 + SIGINT, the convention of shells
)

// fault is an error for the user, with an exit code, and with a remedy where
// there is one.
type fault struct {
	code    int
	message string
	field   string // flag, argument or configuration key that is wrong, if any
	remedy  string // what to do next, if known
	usage   string // synopsis of the command, for usage errors
}

func (f *fault) Error() string { return f.message }

var (
	errInterrupted = errors.New("interrupted")
	// errProblems only sets the exit code of status, whose output shows the
	// problems.
	errProblems = errors.New("there are problems")
)

func usagef(format string, args ...any) *fault {
	return &fault{code: exitUsage, message: fmt.Sprintf(format, args...)}
}

// report prints err for the user and returns the exit code.
func (a *app) report(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errProblems):
		return exitProblems
	}
	f := explain(err)
	paint := a.paint(a.err)
	fmt.Fprintf(a.err, "%s %s\n", paint.Paint(human.Bad, "error:"), human.Clean(f.message))
	for _, line := range []struct{ name, text string }{{"field", f.field}, {"remedy", f.remedy}, {"usage", f.usage}} {
		if line.text != "" {
			fmt.Fprintf(a.err, "  %s %s\n", paint.Paint(human.Dim, line.name+":"), human.Clean(line.text))
		}
	}
	return f.code
}

// explain turns any error into a fault.
func explain(err error) *fault {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, errInterrupted):
		return &fault{code: exitInterrupted, message: "interrupted"}
	}
	var socketError *adminclient.SocketError
	if errors.As(err, &socketError) {
		return unreachable(socketError)
	}
	var refusal *catalog.Refusal
	if errors.As(rpc.FromConnect(err), &refusal) {
		return &fault{
			code:    exitRefused,
			message: refusal.Message,
			field:   refusal.Field,
			remedy:  refusal.Remedy,
		}
	}
	var rpc *connect.Error
	if errors.As(err, &rpc) {
		return explainRPC(rpc)
	}
	return &fault{code: exitFailure, message: err.Error()}
}

func unreachable(err *adminclient.SocketError) *fault {
	return &fault{
		code:    exitUnreachable,
		field:   "--socket",
		remedy:  err.Remedy(),
		message: fmt.Sprintf("cannot reach meshd on %s: %v", err.Socket, err.Cause()),
	}
}

// explainRPC turns an answer of meshd that is no refusal into a fault.
func explainRPC(err *connect.Error) *fault {
	f := &fault{code: exitFailure, message: orElse(strings.TrimSpace(err.Message()), err.Code().String())}
	if connectionBroken(err) {
		f.code, f.message = exitUnreachable, "meshd closed the connection before it answered"
		f.remedy = "check that meshd still runs on this host, and read its log"
		return f
	}
	switch err.Code() {
	case connect.CodeUnavailable:
		f.code, f.remedy = exitNoLeader, "check `meshctl status`: a majority of the voters must be up; --read stale reads without a leader"
	case connect.CodeDeadlineExceeded:
		f.code, f.message = exitNoLeader, "no answer in time: "+f.message
		f.remedy = "check `meshctl status`, or increase --timeout"
	case connect.CodeFailedPrecondition: // a refusal by Raft, which has no field
		f.code = exitRefused
	case connect.CodeUnimplemented:
		f.remedy = "compare the versions with `meshctl version`: this meshd does not support the command"
	default: // the message suffices
	}
	return f
}

// connectionBroken reports whether err comes from a broken connection rather
// than from an answer of meshd.
func connectionBroken(err *connect.Error) bool {
	if connect.IsWireError(err) || err.Code() == connect.CodeDeadlineExceeded {
		return false
	}
	var broken *net.OpError
	return err.Code() == connect.CodeUnavailable || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF)
}
