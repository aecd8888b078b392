package main

import (
	"fmt"
	"io"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// print writes a result to stdout: view as JSON or YAML, or the text that table
// writes.
func (a *app) print(view any, table func(io.Writer) error) error {
	if !a.structured() {
		return table(a.out)
	}
	return a.options.output.Encode(a.out, view)
}

// printJSON writes a JSON document in the format of --output.
func (a *app) printJSON(document []byte) error {
	return a.options.output.Write(a.out, document)
}

// structured reports whether the output is for programs.
func (a *app) structured() bool {
	return a.options.output.Structured()
}

// table prints a table that fits the terminal. For a table without rows it
// prints the sentence nothing on stderr.
func (a *app) table(t human.Table, nothing string) func(io.Writer) error {
	return func(w io.Writer) error {
		if len(t.Rows) == 0 {
			_, err := fmt.Fprintln(a.err, nothing)
			return err
		}
		return t.Fprint(w, a.width(), a.paint(w))
	}
}

// line prints one line of text.
func line(format string, args ...any) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := fmt.Fprintln(w, human.Clean(fmt.Sprintf(format, args...)))
		return err
	}
}

// hint prints a line on stderr, such as the next step, unless the output is
// structured.
func (a *app) hint(format string, args ...any) {
	if !a.structured() {
		fmt.Fprintf(a.err, "%s\n", a.paint(a.err).Paint(human.Dim, human.Clean(fmt.Sprintf(format, args...))))
	}
}
