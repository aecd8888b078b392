// Package replica is a member's copy of the catalog. State.Apply turns log entries into
// state, a View reads it, View.Encode and Decode convert it to and from snapshots. It is
// pure: it uses no clock, no randomness and no raft. Apply authorizes every write, so
// that no race between writers can bypass a check.
//
// All members apply the same log, also while they run different versions of meshd.
// A new rule that could refuse what earlier versions apply therefore belongs into
// State.Judge, which the leader calls before it writes, and not into Apply.
package replica
