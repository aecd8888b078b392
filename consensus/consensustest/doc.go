// Package consensustest runs several consensus nodes in one process: real raft
// and real disks on a network in memory that can be cut, delayed and healed. It
// uses no goroutine or timer of its own that outlives a test, so that it runs
// in a testing/synctest bubble, where hours of timeouts take no time.
package consensustest
