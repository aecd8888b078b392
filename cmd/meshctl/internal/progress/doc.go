// Package progress owns how the steps of a long call are shown: one line each, with
// a spinner on a terminal.
package progress
