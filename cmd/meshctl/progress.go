package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// spinnerPeriod is the time between two frames on a terminal.
const spinnerPeriod = 100 * time.Millisecond

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
	p := &progress{
		w:      a.err,
		paint:  a.paint(a.err),
		what:   what,
		width:  width,
		now:    a.now,
		live:   live && !a.structured(),
		silent: a.structured(),
	}
	p.run(steps)
	err := <-ended
	if err != nil {
		p.fail()
		if errors.Is(ctx.Err(), context.Canceled) {
			return &fault{
				code:    exitInterrupted,
				message: "interrupted",
				remedy:  "check `meshctl status`: meshd continues the operation",
			}
		}
		return err
	}
	if a.structured() {
		return a.print(stepsView{Steps: p.steps}, nil)
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
		return &fault{
			code:    exitFailure,
			message: "meshd stopped before the operation was done",
			remedy:  "check `meshctl status` and the log of meshd",
		}
	}
	return err
}

// progress prints steps, one line each with its duration. On a terminal a
// spinner shows that the next step is running.
type progress struct {
	w      io.Writer
	paint  human.Painter
	what   string
	width  int  // of the terminal; 0 if unknown
	live   bool // w is a terminal
	silent bool // print nothing, only collect steps
	now    func() time.Time
	steps  []stepView
	began  time.Time // of the current step
	frame  int
}

func (p *progress) run(steps <-chan *controlpb.Progress) {
	p.began, p.steps = p.now(), []stepView{}
	ticker := time.NewTicker(spinnerPeriod)
	defer ticker.Stop()
	p.spin()
	for {
		select {
		case step, ok := <-steps:
			if !ok {
				return
			}
			p.done(step)
		case <-ticker.C:
			p.spin()
		}
	}
}

func (p *progress) done(step *controlpb.Progress) {
	now := p.now()
	view := stepView{
		Step:    step.GetStep(),
		Message: human.Clean(step.GetMessage()),
		Took:    now.Sub(p.began),
	}
	p.steps, p.began = append(p.steps, view), now
	switch {
	case p.silent:
	case !p.live:
		fmt.Fprintln(p.w, view.Message)
	default:
		p.draw(p.paint.Paint(human.Good, "✓"), view.Message, view.Took)
		fmt.Fprintln(p.w)
		if !step.GetDone() {
			p.spin()
		}
	}
}

// fail replaces the spinner by a failure mark.
func (p *progress) fail() {
	if p.live {
		p.draw(p.paint.Paint(human.Bad, "✗"), p.what, p.now().Sub(p.began))
		fmt.Fprintln(p.w)
	}
}

func (p *progress) spin() {
	if !p.live {
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	p.frame++
	p.draw(string(frames[p.frame%len(frames)]), p.what, p.now().Sub(p.began))
}

// draw overwrites the line of the cursor. It truncates the message to the width
// of the terminal, since only one line can be overwritten.
func (p *progress) draw(mark, message string, took time.Duration) {
	duration := human.Duration(took)
	if p.width > 0 {
		message = human.Truncate(message, max(p.width-len(duration)-len("x   ")-1, 1))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s %s  %s", mark, message, p.paint.Paint(human.Dim, duration))
}
