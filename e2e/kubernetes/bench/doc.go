// Package bench measures what a user of two joined clusters waits for, and what
// the agent costs: on real clusters, with Meshway installed as a user does it.
//
// All instants are taken in this process, on one clock: of requests when the pod
// that makes them says so, of objects when a watch of their cluster delivers them.
package bench
