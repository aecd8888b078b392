package raftnode

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"github.com/meshway/meshway/consensus"
)

// translate sorts the errors of raft's futures into ErrNotLeader (nothing
// happened) and ErrUncertain. See the comments of raft.Apply.
func translate(err error) error {
	for _, harmless := range []error{raft.ErrNotLeader, raft.ErrEnqueueTimeout, raft.ErrLeadershipTransferInProgress} {
		if errors.Is(err, harmless) {
			return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
		}
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// harmless says that the call that gave err had no effect.
func harmless(err error) bool {
	return errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrNoLeader) || errors.Is(err, consensus.ErrRejected)
}
