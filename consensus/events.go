package consensus

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Event is one command in the log: its author, time and content in brief.
type Event struct {
	Index   uint64
	At      time.Time // by the clock of the author, which the leader bounds
	Author  catalog.GatewayID
	Kind    string // "join"
	Subject string // "datacenter west"
}

// EventQuery selects events. The zero value selects all.
type EventQuery struct {
	After  uint64 // only events with a higher index
	Author string // a gateway id or the name of a datacenter; empty: any
	Limit  int    // only the newest; 0: DefaultEvents
}

// DefaultEvents and MaxEvents bound the events that one query returns.
const (
	DefaultEvents = 100
	MaxEvents     = 10_000
)

// matches reports whether q selects an author.
func (q EventQuery) matches(author catalog.GatewayID) bool {
	return q.Author == "" || q.Author == string(author) || q.Author == string(author.Datacenter())
}

// Select returns the events of the log entry with that index, newest first.
func (q EventQuery) Select(index uint64, entry []byte) []Event {
	cmds, err := catalog.Unmarshal(entry)
	if err != nil {
		return nil // Apply has reported it
	}
	var events []Event
	for _, cmd := range slices.Backward(cmds) {
		author := catalog.GatewayID(cmd.GetAuthor())
		if !q.matches(author) {
			continue
		}
		e := Event{Index: index, At: cmd.GetAt().AsTime(), Author: author}
		e.Kind, e.Subject = Describe(cmd)
		events = append(events, e)
	}
	return events
}
