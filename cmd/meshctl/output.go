package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// outputFormat is a value of --output. It implements pflag.Value.
type outputFormat string

// The output formats: wide is the table with all columns and nothing truncated.
const (
	formatTable outputFormat = "table"
	formatWide  outputFormat = "wide"
	formatJSON  outputFormat = "json"
	formatYAML  outputFormat = "yaml"
)

func outputFormats() []string {
	return []string{string(formatTable), string(formatWide), string(formatJSON), string(formatYAML)}
}

func (f *outputFormat) String() string     { return string(*f) }
func (f *outputFormat) Type() string       { return strings.Join(outputFormats(), "|") }
func (f *outputFormat) Set(s string) error { return setOneOf((*string)(f), s, outputFormats()) }

// colorMode is a value of --color. It implements pflag.Value.
type colorMode string

// The colour modes: auto is colour on a terminal, unless NO_COLOR is set.
const (
	colorAuto   colorMode = "auto"
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

func colorModes() []string {
	return []string{string(colorAuto), string(colorAlways), string(colorNever)}
}

func (m *colorMode) String() string     { return string(*m) }
func (m *colorMode) Type() string       { return strings.Join(colorModes(), "|") }
func (m *colorMode) Set(s string) error { return setOneOf((*string)(m), s, colorModes()) }

func setOneOf(target *string, s string, allowed []string) error {
	if !slices.Contains(allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
	}
	*target = s
	return nil
}

// print writes a result to stdout: view as JSON or YAML, or the text that table
// writes.
func (a *app) print(view any, table func(io.Writer) error) error {
	if !a.structured() {
		return table(a.out)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(view); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	return a.printJSON(b.Bytes())
}

// printJSON writes a JSON document in the format of --output: indented, or as
// YAML with the same keys in the same order.
func (a *app) printJSON(document []byte) error {
	if a.options.output == formatYAML {
		text, err := yaml.JSONToYAML(document)
		if err != nil {
			return fmt.Errorf("encode output as yaml: %w", err)
		}
		_, err = a.out.Write(text)
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(document), "", "  "); err != nil {
		return fmt.Errorf("encode output as json: %w", err)
	}
	_, err := fmt.Fprintln(a.out, b.String())
	return err
}

// structured reports whether the output is for programs.
func (a *app) structured() bool {
	return a.options.output == formatJSON || a.options.output == formatYAML
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
