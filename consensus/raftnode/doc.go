// Package raftnode implements package consensus with raft: a Node keeps one
// ordered log of catalog commands among the gateways of a federation, on disk
// and across the WAN, and applies it to a replica.State. The meaning of commands
// is in package catalog; this package decides which member may write, when a
// read is current, and which members vote. The data directory, the streams to the
// other members and the rules of a quorum are in packages below internal. The
// invariants are in DESIGN.md of package consensus.
package raftnode
