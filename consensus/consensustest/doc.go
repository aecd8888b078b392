// Package consensustest runs several nodes in one process: real raft and real
// files on a network in memory that can be cut, delayed and healed. No goroutine
// of it outlives a test, so that it runs in a testing/synctest bubble, where
// timeouts take no time.
package consensustest
