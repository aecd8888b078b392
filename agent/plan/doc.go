// Package plan computes, from everything that is known, what should be. It is
// pure: no context, no clock, no input or output.
package plan
