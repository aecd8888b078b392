package consensus

import (
	"time"
	"unicode/utf8"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Event is one command in the log: its author, time and content in brief.
type Event struct {
	Index   uint64
	At      time.Time // by the clock of the author, which the leader bounds
	Author  catalog.GatewayID
	Kind    string // "join"
	Subject string // "datacenter west"
}

// EventQuery selects events. The zero value selects the newest ones.
type EventQuery struct {
	After  uint64 // if set, only events with a higher index, and the first of these
	Author string // a gateway id or the name of a datacenter; empty: any
	// Limit bounds the events; 0: DefaultEvents. With After, there can be more: those of
	// one index are not divided.
	Limit int
}

// DefaultEvents and MaxEvents bound the events that one query returns.
const (
	DefaultEvents = 100
	MaxEvents     = 10_000
)

// maxEventText bounds each text of an event.
const maxEventText = 256

// Matches reports whether q selects an author.
func (q EventQuery) Matches(author catalog.GatewayID) bool {
	return q.Author == "" || q.Author == string(author) || q.Author == string(author.Datacenter())
}

// NewEvent returns the event of a command in the log entry with that index.
func NewEvent(index uint64, cmd *catalogpb.Command) Event {
	kind, subject := Describe(cmd)
	author := catalog.GatewayID(shortened(cmd.GetAuthor()))
	return Event{Index: index, At: cmd.GetAt().AsTime(), Author: author, Kind: kind, Subject: shortened(subject)}
}

// shortened returns the begin of a text that is too long.
func shortened(text string) string {
	if len(text) <= maxEventText {
		return text
	}
	end := maxEventText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
