package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Errors of this package, for errors.Is.
var (
	// ErrNoLeader says that no leader could be found, or none that could act,
	// in the time given. Nothing was written, unless ErrUncertain matches too.
	ErrNoLeader = errors.New("no leader")
	// ErrUncertain says that a write was sent and its outcome is not known:
	// it may take effect now, later or never.
	ErrUncertain = errors.New("outcome unknown")
	// ErrNotLeader is the answer of a member that is asked for what only the
	// leader can do. Nothing happened.
	ErrNotLeader = errors.New("not the leader")
	// ErrRejected is the leader's definite no. Nothing happened, and trying
	// again does not help.
	ErrRejected = errors.New("rejected")
	// ErrBehind says that a write was applied, as the results beside it tell,
	// but that this member's own copy does not have it yet.
	ErrBehind = errors.New("written, but the own copy is behind")
	// ErrClosed says that the node does not run any more.
	ErrClosed = errors.New("consensus is closed")
)

// translate sorts the errors of raft's futures into ErrNotLeader (nothing
// happened) and ErrUncertain. See the comments of raft.Apply.
func translate(err error) error {
	for _, harmless := range []error{raft.ErrNotLeader, raft.ErrEnqueueTimeout, raft.ErrLeadershipTransferInProgress} {
		if errors.Is(err, harmless) {
			return fmt.Errorf("%w: %w", ErrNotLeader, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// harmless says that the call that gave err had no effect.
func harmless(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) || errors.Is(err, ErrRejected)
}
