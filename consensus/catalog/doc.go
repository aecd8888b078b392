// Package catalog is the replicated state of a federation: members, tokens,
// services and observations. It is pure: no clock, no randomness, no raft.
package catalog
