// Package member owns one gateway's part in a federation: its node of the
// replicated catalog and its control port (Member), and how the gateway obtains,
// opens and forgets them on this host (Admission). It is the only package of the
// agent that opens a raft node.
//
// It does not decide when to become or to stop being a member: package
// membership does.
package member
