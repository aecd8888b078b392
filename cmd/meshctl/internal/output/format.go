package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/goccy/go-yaml"
)

// Format is a value of --output. It implements pflag.Value.
type Format string

// The output formats: wide is the table with all columns and nothing truncated.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// Formats lists the output formats.
func Formats() []string {
	return []string{string(Table), string(Wide), string(JSON), string(YAML)}
}

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *Format) Type() string { return strings.Join(Formats(), "|") }

// Set implements pflag.Value.
func (f *Format) Set(s string) error { return setOneOf((*string)(f), s, Formats()) }

// Structured reports whether the format is for programs.
func (f *Format) Structured() bool { return *f == JSON || *f == YAML }

// Encode writes a value in a structured format.
func (f *Format) Encode(w io.Writer, view any) error {
	document, err := encode(view)
	if err != nil {
		return err
	}
	return f.Write(w, document)
}

// EncodeLine writes a value as one line of JSON, escaped as Write does it.
func EncodeLine(w io.Writer, view any) error {
	document, err := encode(view)
	if err != nil {
		return err
	}
	_, err = w.Write(escaped(document))
	return err
}

func encode(view any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(view); err != nil {
		return nil, fmt.Errorf("encode output: %w", err)
	}
	return b.Bytes(), nil
}

// Write writes a JSON document: indented, or as YAML with the same keys in the same
// order. Names, labels and messages come from other datacenters, which must not control the
// terminal: characters that are not printable are escaped, and replaced in YAML.
func (f *Format) Write(w io.Writer, document []byte) error {
	if *f == YAML {
		text, err := yaml.JSONToYAML(printable(document))
		if err != nil {
			return fmt.Errorf("encode output as yaml: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(escaped(document)), "", "  "); err != nil {
		return fmt.Errorf("encode output as json: %w", err)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// escaped replaces the characters of a JSON document that are not printable by escapes,
// which JSON does not require above U+001F: among them are control sequences of one
// character (ECMA-48 C1) and those that reverse a text. Outside of strings there are none
// but white space.
func escaped(document []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(document) {
		switch {
		case r < ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.Bytes()
}

// printable replaces the characters of the strings of a JSON document that are not
// printable: the encoder of YAML writes them as they are, and a key of several lines as
// several keys.
func printable(document []byte) []byte {
	literal := regexp.MustCompile(`"(?:[^"\\]|\\.)*"(\s*:)?`)
	return literal.ReplaceAllFunc(document, func(found []byte) []byte {
		value, isKey := bytes.CutSuffix(found, []byte(":"))
		var have string
		if json.Unmarshal(value, &have) != nil {
			return found // JSONToYAML refuses it
		}
		text := strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) || r == '\n' && !isKey {
				return r
			}
			return '?'
		}, have)
		if text == have {
			return found
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil // a string is always encoded
		}
		if isKey {
			quoted = append(quoted, ':')
		}
		return quoted
	})
}

// Color is a value of --color. It implements pflag.Value.
type Color string

// The colour modes: auto is colour on a terminal, unless NO_COLOR is set.
const (
	ColorAuto   Color = "auto"
	ColorAlways Color = "always"
	ColorNever  Color = "never"
)

// Colors lists the colour modes.
func Colors() []string {
	return []string{string(ColorAuto), string(ColorAlways), string(ColorNever)}
}

// String implements pflag.Value.
func (m *Color) String() string { return string(*m) }

// Type implements pflag.Value.
func (m *Color) Type() string { return strings.Join(Colors(), "|") }

// Set implements pflag.Value.
func (m *Color) Set(s string) error { return setOneOf((*string)(m), s, Colors()) }

func setOneOf(target *string, s string, allowed []string) error {
	if !slices.Contains(allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
	}
	*target = s
	return nil
}
