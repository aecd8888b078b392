package raftnode

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode/internal/proposals"
)

// Write hands an entry to raft and returns when raft has accepted it. release is
// called when its outcome is known.
func (i *instance) Write(entry []*proposals.Proposal, release func()) {
	var cmds []*catalogpb.Command
	for _, p := range entry {
		cmds = append(cmds, p.Commands...)
	}
	data, err := catalog.Marshal(cmds...)
	if err != nil {
		release()
		proposals.Resolve(entry, nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err))
		return
	}
	// Raft's main loop accepts it at once, unless the loop has ended.
	i.announcer.InFlight.Add(1)
	future := i.raft.Apply(data, i.timers.ElectionTimeout)
	i.pending.Go(func() {
		defer release()
		results, err := resultsOf(future)
		i.announcer.InFlight.Add(-1)
		i.announcer.Committed()
		proposals.Resolve(entry, results, err)
	})
}

// resultsOf waits for the outcome of an entry.
func resultsOf(future raft.ApplyFuture) ([]catalog.Result, error) {
	if err := future.Error(); err != nil {
		return nil, translate(err)
	}
	switch r := future.Response().(type) {
	case []catalog.Result:
		return r, nil
	case error:
		return nil, fmt.Errorf("%w: %w", consensus.ErrUncertain, r)
	default:
		return nil, fmt.Errorf("%w: unexpected %T", consensus.ErrUncertain, r)
	}
}
