package main

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/progress"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// openStream starts a call whose steps meshd streams.
type openStream func() (*connect.ServerStreamForClient[controlpb.Progress], error)

// follow runs a call and prints each step when it is done. what names the whole
// call, such as "joining".
func (a *app) follow(ctx context.Context, what string, open openStream) error {
	if ctx.Err() != nil {
		return ctx.Err() // nothing was started
	}
	steps, ended := make(chan *controlpb.Progress), make(chan error, 1)
	go func() {
		defer close(steps)
		ended <- receive(open, steps)
	}()
	width, live := terminal(a.err)
	p := &progress.Printer{
		Out:    a.err,
		Paint:  a.paint(a.err),
		What:   what,
		Width:  width,
		Now:    a.now,
		Live:   live && !a.structured(),
		Silent: a.structured(),
	}
	p.Run(steps)
	err := <-ended
	if err != nil {
		p.Fail()
		if errors.Is(ctx.Err(), context.Canceled) {
			return &fault.Fault{
				Code:    fault.ExitInterrupted,
				Message: "interrupted",
				Remedy:  "check `meshctl status`: meshd continues the operation",
			}
		}
		return err
	}
	if a.structured() {
		return a.print(views.Steps{Steps: p.Steps}, nil)
	}
	return nil
}

// receive opens a stream, sends its messages to steps and closes it. It ends
// with the context that open uses.
func receive(open openStream, steps chan<- *controlpb.Progress) error {
	stream, err := open()
	if err != nil {
		return err
	}
	done := false
	for stream.Receive() {
		step := stream.Msg()
		done = done || step.GetDone()
		steps <- step // progress.run reads until the channel is closed
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
