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
	exitInterrupted = 130 // 128 + SIGINT, as shells say it
)

// fault is an error for a person: what is wrong, where, and what to do.
type fault struct {
	code    int
	message string
	field   string // what the user got wrong, empty: nothing in particular
	remedy  string // what to do next
	usage   string // a line that says how the command is written
}

func (f *fault) Error() string { return f.message }

var (
	errInterrupted = errors.New("interrupted")
	// errProblems sets the exit code of status; the table has said the rest.
	errProblems = errors.New("there are problems")
)

func usagef(format string, args ...any) *fault {
	return &fault{code: exitUsage, message: fmt.Sprintf(format, args...)}
}

// report tells a person what went wrong and returns the exit code.
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

// explain turns any error into what a person needs and the exit code.
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
		return &fault{code: exitRefused, message: refusal.Message, field: refusal.Field, remedy: refusal.Remedy}
	}
	var rpc *connect.Error
	if errors.As(err, &rpc) {
		return explainRPC(rpc)
	}
	return &fault{code: exitFailure, message: err.Error()}
}

func unreachable(err *adminclient.SocketError) *fault {
	return &fault{
		code: exitUnreachable, field: "--socket", remedy: err.Remedy(),
		message: fmt.Sprintf("reach meshd on %s: %v", err.Socket, err.Cause()),
	}
}

// explainRPC reads what meshd answered when it is no refusal.
func explainRPC(err *connect.Error) *fault {
	f := &fault{code: exitFailure, message: orElse(strings.TrimSpace(err.Message()), err.Code().String())}
	if hungUp(err) {
		f.code, f.message = exitUnreachable, "meshd closed the connection before it answered"
		f.remedy = "see whether meshd still runs on this host, and its log"
		return f
	}
	switch err.Code() {
	case connect.CodeUnavailable:
		f.code, f.remedy = exitNoLeader, "see `meshctl status`: a majority of voters must be up; reads with --read stale go on without one"
	case connect.CodeDeadlineExceeded:
		f.code, f.message = exitNoLeader, "no answer in time: "+f.message
		f.remedy = "see `meshctl status`, or give it longer with --timeout"
	case connect.CodeFailedPrecondition: // a refusal of raft's, which has no field
		f.code = exitRefused
	case connect.CodeUnimplemented:
		f.remedy = "this meshd does not know the command: compare with `meshctl version`"
	default: // the message has to suffice
	}
	return f
}

// hungUp tells whether the connection broke, rather than meshd answered.
func hungUp(err *connect.Error) bool {
	if connect.IsWireError(err) || err.Code() == connect.CodeDeadlineExceeded {
		return false
	}
	var broken *net.OpError
	return err.Code() == connect.CodeUnavailable || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF)
}
