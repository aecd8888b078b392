// Package human renders for people: tables that fit a terminal, durations and
// sizes in words, colours. It is pure: no clock, no environment, no terminal.
package human
