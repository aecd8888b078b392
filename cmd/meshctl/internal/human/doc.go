// Package human formats output for people: tables that fit a terminal, durations,
// sizes and colours. It uses no clock, environment or terminal itself.
package human
