package main

import (
	"errors"
	"fmt"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// errProblems only sets the exit code of status, whose output shows the problems.
var errProblems = errors.New("there are problems")

// report prints err for the user and returns the exit code.
func (a *app) report(err error) int {
	switch {
	case err == nil:
		return fault.ExitOK
	case errors.Is(err, errProblems):
		return fault.ExitProblems
	}
	f := fault.Explain(err)
	paint := a.paint(a.err)
	fmt.Fprintf(a.err, "%s %s\n", paint.Paint(human.Bad, "error:"), human.Clean(f.Message))
	for _, line := range []struct{ name, text string }{{"field", f.Field}, {"remedy", f.Remedy}, {"usage", f.Usage}} {
		if line.text != "" {
			fmt.Fprintf(a.err, "  %s %s\n", paint.Paint(human.Dim, line.name+":"), human.Clean(line.text))
		}
	}
	return f.Code
}
