// Package quorum decides which gateways are members of raft, which of them vote,
// which one leads next, and which removals would leave the others without a
// quorum. It is pure: package raftnode judges the members and makes the changes.
package quorum
