// Package catalog is the replicated state of a federation: its datacenters,
// gateways, tokens, services, exports and observations. It is pure: it uses no
// clock, no randomness and no raft. State.Apply turns log entries into state, a
// View reads it, View.Encode and Decode convert it to and from snapshots. Apply
// authorizes every write, so that no race between writers can bypass a check.
package catalog
