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

// follow shows the steps of a stream as they come: each message is the step
// that is under way until the next one, the last says that all is done.
func (a *app) follow(ctx context.Context, stream *connect.ServerStreamForClient[controlpb.Progress]) error {
	ctx, cancel := context.WithCancel(ctx)
	steps, ended := make(chan *controlpb.Progress), make(chan error, 1)
	go func() {
		defer close(steps)
		ended <- receive(ctx, stream, steps)
	}()
	width, live := terminal(a.err)
	p := &progress{w: a.err, paint: a.paint(a.err), width: width, live: live && !a.structured(), silent: a.structured(), now: a.now}
	p.run(steps)
	cancel()
	err := <-ended
	p.end(err)
	if err != nil || !a.structured() {
		return err
	}
	return a.print(stepsView{Steps: p.steps}, nil)
}

// receive passes the messages of stream on; it closes the stream.
func receive(ctx context.Context, stream *connect.ServerStreamForClient[controlpb.Progress], steps chan<- *controlpb.Progress) error {
	done := false
	for stream.Receive() {
		step := stream.Msg()
		done = done || step.GetDone()
		select {
		case steps <- step:
		case <-ctx.Done():
		}
	}
	err := errors.Join(stream.Err(), stream.Close())
	if err == nil && !done {
		return &fault{code: exitFailure, message: "meshd ended before it was done", remedy: "see `meshctl status` and the log of meshd"}
	}
	return err
}

// progress draws steps: on a terminal one line each, which spins while the
// step is under way, elsewhere a plain line when it begins.
type progress struct {
	w      io.Writer
	paint  human.Painter
	width  int // of the terminal, 0: not known
	live   bool
	silent bool
	now    func() time.Time
	steps  []stepView
	began  time.Time // of the last step
	frame  int
	open   bool // the last step is under way
}

func (p *progress) run(steps <-chan *controlpb.Progress) {
	p.began = p.now()
	ticker := time.NewTicker(spinnerPeriod)
	defer ticker.Stop()
	for {
		select {
		case step, ok := <-steps:
			if !ok {
				return
			}
			p.next(step)
		case <-ticker.C:
			p.spin()
		}
	}
}

func (p *progress) next(step *controlpb.Progress) {
	p.close("✓", human.Good)
	p.steps = append(p.steps, stepView{Step: step.GetStep(), Message: human.Clean(step.GetMessage())})
	p.began, p.open = p.now(), true
	if !p.live && !p.silent {
		fmt.Fprintln(p.w, p.last().Message)
	}
	p.spin()
	if step.GetDone() {
		p.close("✓", human.Good)
	}
}

// end closes the step that was under way when the stream ended.
func (p *progress) end(err error) {
	if err != nil {
		p.close("✗", human.Bad)
		return
	}
	p.close("✓", human.Good)
}

func (p *progress) last() *stepView { return &p.steps[len(p.steps)-1] }

func (p *progress) close(mark string, color human.Color) {
	if !p.open {
		return
	}
	p.open = false
	step := p.last()
	step.Took = p.now().Sub(p.began)
	if p.live {
		p.draw(p.paint.Paint(color, mark), step.Took)
		fmt.Fprintln(p.w)
	}
}

func (p *progress) spin() {
	if !p.live || !p.open {
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	p.frame++
	p.draw(string(frames[p.frame%len(frames)]), p.now().Sub(p.began))
}

// draw writes the last step over the line that the cursor is on. A message
// that would wrap is truncated, since only one line can be overwritten.
func (p *progress) draw(mark string, took time.Duration) {
	duration := human.Duration(took)
	message := p.last().Message
	if p.width > 0 {
		message = human.Truncate(message, max(p.width-len(duration)-len("x   ")-1, 1))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s %s  %s", mark, message, p.paint.Paint(human.Dim, duration))
}
