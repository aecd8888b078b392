// Package bench measures latencies of a federation of two clusters and the
// resource use of the agent, on real clusters where Meshway is installed as a
// user does.
//
// All times are read in this process, from one clock: when a client pod prints a
// line, and when a watch of a cluster delivers an object.
package bench
