// Package transport owns how raft reaches the other members: streams over a
// consensus.Network, one raft transport over them, and the answers of the members
// (Contacts), from which a leader judges their health.
package transport
