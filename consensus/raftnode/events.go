package raftnode

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
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
			events = append(events, eventsOf(entry, q)...)
		}
	}
	events = events[:min(len(events), q.Limit)]
	slices.Reverse(events)
	return events, nil
}

// eventsOf returns the events of an entry, newest first.
func eventsOf(entry raft.Log, q consensus.EventQuery) []consensus.Event {
	cmds, err := catalog.Unmarshal(entry.Data)
	if err != nil {
		return nil // Apply has reported it
	}
	var events []consensus.Event
	for _, cmd := range slices.Backward(cmds) {
		author := catalog.GatewayID(cmd.GetAuthor())
		if !q.Matches(author) {
			continue
		}
		e := consensus.Event{Index: entry.Index, At: cmd.GetAt().AsTime(), Author: author}
		e.Kind, e.Subject = consensus.Describe(cmd)
		events = append(events, e)
	}
	return events
}
