// Package disk owns the data directory of a node: raft's log and snapshots, the
// applied mark, the owner, and the events that the log no longer has. It verifies
// what it opens, replays what is known to be committed, and gives raft a store that
// stops the node when the disk fails. An error contains the path and the remedy, and
// the content of a directory is never deleted.
package disk
