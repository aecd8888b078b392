package raftnode

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
)

// Events returns the newest commands in the log of this member that a query selects,
// oldest first. The log is the history: it keeps entries from before the last snapshot,
// and begins again after a snapshot of another member.
func (n *Node) Events(q consensus.EventQuery) ([]consensus.Event, error) {
	last, _ := n.fsm.Applied()
	if q.Limit <= 0 {
		q.Limit = consensus.DefaultEvents
	}
	q.Limit = min(q.Limit, consensus.MaxEvents)
	var events []consensus.Event
	for index := last; index > q.After && len(events) < q.Limit; index-- {
		entry, found, err := n.store.Entry(index)
		if err != nil {
			return nil, fmt.Errorf("read the log of the catalog: %w", err)
		}
		if !found {
			break // the log begins after it
		}
		if entry.Type == raft.LogCommand {
			events = append(events, q.Select(entry.Index, entry.Data)...)
		}
	}
	events = events[:min(len(events), q.Limit)]
	slices.Reverse(events)
	return events, nil
}
