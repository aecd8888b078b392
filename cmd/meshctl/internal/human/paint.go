package human

import (
	"strings"
	"unicode"
)

// Color is the meaning of a text, which Painter shows as a colour.
type Color int

// The colours: Good is green, Warn yellow, Bad red, Dim grey.
const (
	Plain Color = iota
	Good
	Warn
	Bad
	Dim
	Bold
)

// Painter colours texts for a terminal if it is true.
type Painter bool

// Paint returns s in the given colour (ECMA-48 SGR sequences).
func (p Painter) Paint(c Color, s string) string {
	if !bool(p) || c == Plain || s == "" {
		return s
	}
	return sgr(c) + s + "\x1b[0m"
}

func sgr(c Color) string {
	switch c {
	case Good:
		return "\x1b[32m"
	case Warn:
		return "\x1b[33m"
	case Bad:
		return "\x1b[31m"
	case Dim:
		return "\x1b[2m"
	case Bold:
		return "\x1b[1m"
	default:
		return ""
	}
}

// Clean replaces characters that are not printable. Names, labels and messages
// come from other datacenters, which must not control the terminal of an operator
// here.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		default:
			return r
		}
	}, s)
}
