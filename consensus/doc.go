// Package consensus is the contract between the replicated catalog and its
// users: how current a read is, what a failed write means, how a member reports
// its part in the replication, and what the replication needs from the network.
// Package raftnode implements it with raft; nothing in this package depends on
// how that is done.
package consensus
