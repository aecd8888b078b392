package raftnode

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
)

// translate maps an error of raft.Apply or of another change of the log to
// consensus.ErrNotLeader when the change had no effect, and to
// consensus.ErrUncertain otherwise.
func translate(err error) error {
	for _, harmless := range []error{raft.ErrNotLeader, raft.ErrEnqueueTimeout, raft.ErrLeadershipTransferInProgress} {
		if errors.Is(err, harmless) {
			return notLeader(err)
		}
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// notLeader marks err as that of an operation without effect, for another leader.
func notLeader(err error) error { return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err) }
