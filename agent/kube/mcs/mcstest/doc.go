// Package mcstest is the contract of the controllers of multi-cluster services, for a
// fake cluster and a real one, with a catalog without raft.
package mcstest
