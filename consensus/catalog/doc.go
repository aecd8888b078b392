// Package catalog is the replicated state of a federation: members, tokens,
// services and observations. It is pure: no clock, no randomness, no raft. Apply
// turns log entries into state, a View reads it, snapshots carry it. All
// authorisation of writes is in Apply, where no race can get around it.
package catalog
