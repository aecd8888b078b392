package progress

import (
	"errors"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// Stream starts a call whose steps meshd streams.
type Stream func() (*connect.ServerStreamForClient[controlpb.Progress], error)

// Receive opens a stream, sends its messages to steps and closes it. It ends
// with the context that open uses.
func Receive(open Stream, steps chan<- *controlpb.Progress) error {
	stream, err := open()
	if err != nil {
		return err
	}
	done := false
	for stream.Receive() {
		step := stream.Msg()
		done = done || step.GetDone()
		steps <- step // Printer.Run reads until the channel is closed
	}
	err = errors.Join(stream.Err(), stream.Close())
	if err == nil && !done {
		return &fault.Fault{
			Code:    fault.ExitFailure,
			Message: "meshd stopped before the operation was done",
			Remedy:  "check `meshctl status` and the log of meshd",
		}
	}
	return err
}
