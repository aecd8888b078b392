package views

import (
	"strconv"
	"time"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// Events is the document of events.
type Events struct {
	Freshness Freshness `json:"freshness"`
	Events    []Event   `json:"events"`
}

// Event is one command in the log of the catalog.
type Event struct {
	Index   uint64    `json:"index"`
	At      time.Time `json:"at"`
	Author  string    `json:"author"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
}

// NewEvents returns the document of a response.
func NewEvents(r *controlpb.ListEventsResponse) Events {
	view := Events{Freshness: newFreshness(r.GetFreshness()), Events: []Event{}}
	for _, e := range r.GetEvents() {
		view.Events = append(view.Events, Event{
			Index: e.GetIndex(), At: e.GetAt().AsTime(), Author: e.GetAuthor(), Kind: e.GetKind(), Subject: e.GetSubject(),
		})
	}
	return view
}

// EventsTable returns one row for each event.
func EventsTable(events []Event) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "INDEX"}, {Title: "TIME"}, {Title: "AUTHOR", Min: 8}, {Title: "COMMAND", Min: 8}, {Title: "SUBJECT", Min: 10},
	}}
	for _, e := range events {
		table.Rows = append(table.Rows, []human.Cell{
			{Text: strconv.FormatUint(e.Index, 10)}, {Text: e.At.Local().Format(time.DateTime)}, {Text: e.Author}, {Text: e.Kind}, {Text: e.Subject},
		})
	}
	return table
}
