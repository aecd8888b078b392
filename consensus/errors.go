package consensus

import "errors"

// Errors of reads, writes and leader operations, for errors.Is.
var (
	// ErrNoLeader means that no leader, or none that could act, was found in
	// time. Nothing was written, unless the error also matches ErrUncertain.
	ErrNoLeader = errors.New("no leader")
	// ErrUncertain means that a write was sent and its outcome is unknown: it
	// may take effect now, later or never.
	ErrUncertain = errors.New("outcome unknown")
	// ErrNotLeader means that an operation that only the leader can execute was
	// sent to another member. It had no effect.
	ErrNotLeader = errors.New("not the leader")
	// ErrRejected means that the leader refused an operation. It had no effect,
	// and a retry does not help.
	ErrRejected = errors.New("rejected")
	// ErrBehind means that a write was applied, with the results that are
	// returned with the error, but that the local copy does not have it yet.
	ErrBehind = errors.New("written, but the local copy does not have it yet")
	// ErrClosed means that the member no longer runs.
	ErrClosed = errors.New("consensus is closed")
)

// Codes of the refusals that only the leader makes, because they depend on time,
// on votes, or on the other requests of a member. They are stable.
const (
	CodeConfirmationNeeded = "confirmation-needed" // a second member has to request it too
	CodeTooManyRequests    = "too-many-requests"   // of that kind, of one datacenter
	CodeNotTheInviter      = "not-the-inviter"     // another datacenter created the token
	CodeSponsored          = "sponsored"           // a datacenter that counts as another one cannot invite others
	CodeDatacenterActive   = "datacenter-heard"    // it answered within the last minute
	CodeDatacenterLeads    = "datacenter-leads"    // one of its gateways is the leader
	CodeVotesNeeded        = "votes-needed"        // without its votes the others have no quorum
)

// Codes of the refusals of messages of raft. They are stable.
const (
	CodeSenderDiffers  = "raft-sender"    // it names another gateway than the one that sent it
	CodeNotAVoter      = "raft-not-voter" // only a voter sends it
	CodeTermAhead      = "raft-term"      // its term is further ahead than elections can raise it
	CodeMalformed      = "raft-malformed" // no honest member sends its content
	CodeSnapshotForged = "raft-snapshot"  // the records in its snapshot do not verify
	CodeUnknownEntry   = "raft-version"   // this build does not support a command in it
)

// HadNoEffect reports whether the operation that returned err certainly had no effect.
func HadNoEffect(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) || errors.Is(err, ErrRejected)
}
