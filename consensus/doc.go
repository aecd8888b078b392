// Package consensus is the raft shell around the catalog: it keeps one ordered
// log of writes among the gateways of a federation, on disk and across the WAN,
// and applies it to a catalog.State. All meaning is in package catalog; this
// package decides who may write, when a read is current, and who has a vote.
// DESIGN.md holds the invariants.
package consensus
