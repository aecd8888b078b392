package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
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
