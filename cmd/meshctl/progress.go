package main

import (
	"context"
	"errors"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/progress"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// follow runs a call and prints each step when it is done. what names the whole
// call, such as "joining".
func (a *app) follow(ctx context.Context, what string, open progress.Stream) error {
	if ctx.Err() != nil {
		return ctx.Err() // nothing was started
	}
	steps, ended := make(chan *controlpb.Progress), make(chan error, 1)
	go func() {
		defer close(steps)
		ended <- progress.Receive(open, steps)
	}()
	width, live := output.Terminal(a.err)
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
