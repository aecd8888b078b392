package voting

import (
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus/catalog"
)

// votingRaft is the raft that autopilot changes. It excludes other changes of the
// members meanwhile, and decides again immediately before each change.
type votingRaft struct {
	*raft.Raft
	leader  Leader
	timeout time.Duration
	state   func() *autopilot.State
}

var _ autopilot.Raft = (*votingRaft)(nil)

var errOutdated = errors.New("outdated: the members have changed since the decision")

// AddVoter implements autopilot.Raft. Raft does not count the new voter's acknowledgement
// of the change if it arrives before the leader uses the new configuration. If its vote is
// needed, only the acknowledgement of a later entry, here a barrier, commits the change.
func (r *votingRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, false, func(timeout time.Duration) raft.IndexFuture {
		future := r.Raft.AddVoter(id, address, 0, timeout)
		r.Barrier(timeout)
		return future
	})
}

// DemoteVoter implements autopilot.Raft.
func (r *votingRaft) DemoteVoter(id raft.ServerID, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, true, func(timeout time.Duration) raft.IndexFuture {
		return r.Raft.DemoteVoter(id, 0, timeout)
	})
}

func (r *votingRaft) change(id raft.ServerID, demotion bool, f func(time.Duration) raft.IndexFuture) raft.IndexFuture {
	return r.leader.Exclusively(func() raft.IndexFuture {
		promote, demote := r.leader.PlanVoters(r.state())
		planned := promote
		if demotion {
			planned = demote
		}
		if !slices.Contains(planned, catalog.GatewayID(id)) {
			return Failed(errOutdated)
		}
		future := f(r.timeout)
		if err := future.Error(); err != nil { // waits for the commit, while other changes are excluded
			return Failed(err)
		}
		return future
	})
}

// Failed returns the future of a change that was not made.
func Failed(err error) raft.IndexFuture { return failedChange{err} }

// failedChange is the raft.IndexFuture of a change that was not made.
type failedChange struct{ err error }

func (f failedChange) Error() error { return f.err }
func (failedChange) Index() uint64  { return 0 }
