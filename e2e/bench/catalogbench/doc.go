// Package catalogbench measures the replicated catalog of three members beside etcd
// with three members, on one machine and one disk, with TLS between all processes and
// real syncs.
//
// Members and etcd servers are processes of this program, which calls [Main] first.
// Each measurement is made in rounds, in each of which Meshway and etcd take turns, so
// that both have the same load of the machine and the disk. A result is the median of
// the rounds.
//
// The calls at the leader are those that one gateway makes to another: RPC over the
// control port, by a client of its own outside the members, as the client of etcd is.
// Those through a follower begin in the process of the follower, which is where the
// callers of a gateway are. The agents of the measurement "socket" are real ones, in
// network namespaces, called through the unix socket of meshd.
package catalogbench
