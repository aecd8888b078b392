package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
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
	f := explain(err, a.options.socket)
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
func explain(err error, socket string) *fault {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, errInterrupted):
		return &fault{code: exitInterrupted, message: "interrupted"}
	}
	if f := explainDial(err, socket); f != nil {
		return f
	}
	var rpc *connect.Error
	if errors.As(err, &rpc) {
		return explainRPC(rpc)
	}
	return &fault{code: exitFailure, message: err.Error()}
}

// explainDial recognises a meshd that cannot be spoken to; else nil.
func explainDial(err error, socket string) *fault {
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	f := &fault{code: exitUnreachable, message: "reach meshd at " + socket + ": " + dial.Err.Error(), field: "--socket"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.remedy = "start meshd on this host, or name its socket with --socket or MESHWAY_SOCKET"
	case errors.Is(err, fs.ErrPermission):
		f.remedy = "run meshctl as root: the socket is root's alone"
	case errors.Is(err, syscall.ECONNREFUSED):
		f.remedy = "the socket is there but nobody listens: start meshd again and read its log"
	default:
		f.remedy = "check that meshd runs on this host and that --socket is its socket"
	}
	return f
}

// explainRPC reads what meshd answered. A refusal travels as an error detail.
func explainRPC(err *connect.Error) *fault {
	f := &fault{code: exitFailure, message: err.Message()}
	for _, detail := range err.Details() {
		value, decodeErr := detail.Value()
		refusal, ok := value.(*catalogpb.Refusal)
		if decodeErr != nil || !ok {
			continue
		}
		f.code, f.field, f.remedy = exitRefused, refusal.GetField(), refusal.GetRemedy()
		if refusal.GetMessage() != "" {
			f.message = refusal.GetMessage()
		}
	}
	applyCode(f, err)
	if strings.TrimSpace(f.message) == "" {
		f.message = err.Code().String()
	}
	return f
}

// applyCode lets the RPC code decide where it says more than a refusal does.
func applyCode(f *fault, err *connect.Error) {
	switch err.Code() {
	case connect.CodeUnavailable:
		if !connect.IsWireError(err) {
			f.code = exitUnreachable
			setRemedy(f, "meshd closed the connection: see whether it still runs, and its log")
			return
		}
		f.code = exitNoLeader
		setRemedy(f, "see `meshctl status`: a majority of voters must be up; reads with --read stale go on without one")
	case connect.CodeDeadlineExceeded:
		f.code = exitNoLeader
		f.message = "no answer in time: " + f.message
		setRemedy(f, "see `meshctl status`, or give it longer with --timeout")
	case connect.CodeUnimplemented:
		setRemedy(f, "this meshd does not know the command: compare with `meshctl version`")
	}
}

func setRemedy(f *fault, remedy string) {
	if f.remedy == "" {
		f.remedy = remedy
	}
}
