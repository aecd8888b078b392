// Package mcstest is the contract of the controllers of multi-cluster services, for an
// API server in memory and a real one, with a fake cluster and a catalog without raft.
package mcstest
