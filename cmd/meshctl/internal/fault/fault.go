package fault

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// The exit codes; meshctl help exit-codes documents them.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitProblems    = 3
	ExitRefused     = 4
	ExitUnreachable = 5
	ExitNoLeader    = 6
	ExitInterrupted = 130 // 128 + SIGINT, the convention of shells
)

// Fault is an error for the user, with an exit code, and with a remedy where
// there is one.
type Fault struct {
	Code    int
	Message string
	Field   string // flag, argument or configuration key that is wrong, if any
	Remedy  string // what to do next, if known
	Usage   string // synopsis of the command, for usage errors
}

func (f *Fault) Error() string { return f.Message }

// ErrInterrupted means that the user has interrupted meshctl.
var ErrInterrupted = errors.New("interrupted")

// Usagef returns a usage error.
func Usagef(format string, args ...any) *Fault {
	return &Fault{Code: ExitUsage, Message: fmt.Sprintf(format, args...)}
}

// Explain turns any error into a fault.
func Explain(err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, ErrInterrupted):
		return &Fault{Code: ExitInterrupted, Message: "interrupted"}
	}
	var socketError *adminclient.SocketError
	if errors.As(err, &socketError) {
		return unreachable(socketError)
	}
	var refusal *catalog.Refusal
	if errors.As(rpc.FromConnect(err), &refusal) {
		code := ExitRefused
		if refusal.Code == "starting" {
			code = ExitNoLeader // retrying succeeds
		}
		return &Fault{
			Code:    code,
			Message: refusal.Message,
			Field:   refusal.Field,
			Remedy:  refusal.Remedy,
		}
	}
	var rpc *connect.Error
	if errors.As(err, &rpc) {
		return explainRPC(rpc)
	}
	return &Fault{Code: ExitFailure, Message: err.Error()}
}

func unreachable(err *adminclient.SocketError) *Fault {
	return &Fault{
		Code:    ExitUnreachable,
		Field:   "--socket",
		Remedy:  err.Remedy(),
		Message: fmt.Sprintf("cannot reach meshd on %s: %v", err.Socket, err.Cause()),
	}
}

// explainRPC turns an answer of meshd that is no refusal into a fault.
func explainRPC(err *connect.Error) *Fault {
	f := &Fault{Code: ExitFailure, Message: cmp.Or(strings.TrimSpace(err.Message()), err.Code().String())}
	if ConnectionBroken(err) {
		f.Code, f.Message = ExitUnreachable, "meshd closed the connection before it answered"
		f.Remedy = "check that meshd still runs on this host, and read its log"
		return f
	}
	switch err.Code() {
	case connect.CodeUnavailable:
		f.Code, f.Remedy = ExitNoLeader, "check `meshctl status`: a majority of the voters must be up; --read stale reads without a leader"
	case connect.CodeDeadlineExceeded:
		f.Code, f.Message = ExitNoLeader, "no answer in time: "+f.Message
		f.Remedy = "check `meshctl status`, or increase --timeout"
	case connect.CodeFailedPrecondition: // a refusal by Raft, which has no field
		f.Code = ExitRefused
	case connect.CodeUnimplemented:
		f.Remedy = "compare the versions with `meshctl version`: this meshd does not support the command"
	default: // the message suffices
	}
	return f
}

// ConnectionBroken reports whether err comes from a broken connection rather
// than from an answer of meshd.
func ConnectionBroken(err *connect.Error) bool {
	if connect.IsWireError(err) || err.Code() == connect.CodeDeadlineExceeded {
		return false
	}
	var broken *net.OpError
	return err.Code() == connect.CodeUnavailable || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF)
}
