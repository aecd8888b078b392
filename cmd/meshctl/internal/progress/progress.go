package progress

import (
	"fmt"
	"io"
	"time"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// spinnerPeriod is the time between two frames on a terminal.
const spinnerPeriod = 100 * time.Millisecond

// Printer prints steps, one line each with its duration. On a terminal a
// spinner shows that the next step is running.
type Printer struct {
	Out    io.Writer
	Paint  human.Painter
	What   string
	Width  int  // of the terminal; 0 if unknown
	Live   bool // Out is a terminal
	Silent bool // print nothing, only collect steps
	Now    func() time.Time
	Steps  []views.Step
	began  time.Time // of the current step
	frame  int
}

// Run prints the steps until the channel is closed, and collects them in Steps.
func (p *Printer) Run(steps <-chan *controlpb.Progress) {
	p.began, p.Steps = p.Now(), []views.Step{}
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

func (p *Printer) done(step *controlpb.Progress) {
	now := p.Now()
	view := views.Step{
		Step:    step.GetStep(),
		Message: human.Clean(step.GetMessage()),
		Took:    now.Sub(p.began),
	}
	p.Steps, p.began = append(p.Steps, view), now
	switch {
	case p.Silent:
	case !p.Live:
		fmt.Fprintln(p.Out, view.Message)
	default:
		p.draw(p.Paint.Paint(human.Good, "✓"), view.Message, view.Took)
		fmt.Fprintln(p.Out)
		if !step.GetDone() {
			p.spin()
		}
	}
}

// Fail replaces the spinner by a failure mark.
func (p *Printer) Fail() {
	if p.Live {
		p.draw(p.Paint.Paint(human.Bad, "✗"), p.What, p.Now().Sub(p.began))
		fmt.Fprintln(p.Out)
	}
}

func (p *Printer) spin() {
	if !p.Live {
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	p.frame++
	p.draw(string(frames[p.frame%len(frames)]), p.What, p.Now().Sub(p.began))
}

// draw overwrites the line of the cursor. It truncates the message to the width
// of the terminal, since only one line can be overwritten.
func (p *Printer) draw(mark, message string, took time.Duration) {
	duration := human.Duration(took)
	if p.Width > 0 {
		message = human.Truncate(message, max(p.Width-len(duration)-len("x   ")-1, 1))
	}
	fmt.Fprintf(p.Out, "\r\x1b[K%s %s  %s", mark, message, p.Paint.Paint(human.Dim, duration))
}
