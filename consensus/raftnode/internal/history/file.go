package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// file is the file. The checksum is that of its content.
type file struct {
	Checksum string          `json:"sha256"`
	Content  json.RawMessage `json:"content"`
}

type content struct {
	Last   uint64   `json:"last"`
	Floor  uint64   `json:"floor,omitempty"`
	Events []record `json:"events"` // in the order of the log
}

// record is one event. The time of a command can be one that JSON has no text for.
type record struct {
	Index   uint64            `json:"index"`
	Number  int               `json:"number,omitempty"`
	Seconds int64             `json:"seconds"`
	Nanos   int               `json:"nanos,omitempty"`
	Author  catalog.GatewayID `json:"author"`
	Kind    string            `json:"kind"`
	Subject string            `json:"subject,omitempty"`
}

// Load reads the file, and the events after it from the log, up to the newest snapshot:
// the commands after that are applied again. It never fails: without a file, or with one
// that is damaged, there are the events of the log. It must be called before the others.
func (h *History) Load() {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, path, err := h.store.ReadEvents()
	if err == nil && data != nil {
		err = h.decode(data)
	}
	if err != nil {
		h.log.Warn("the events from before the log of the catalog begins cannot be read, and are not listed here: "+
			"run meshctl events on another gateway; the next snapshot of the catalog replaces the file", "path", path, "err", err)
	}
	if err := h.loadFromLog(); err != nil {
		h.log.Warn("failed to read events from the log of the catalog", "err", err) // Replay explains it
	}
}

func (h *History) loadFromLog() error {
	snapshot, err := h.store.SnapshotInLog()
	if err != nil || snapshot <= h.last {
		return err
	}
	for index := max(h.last+1, h.floor, h.store.FirstIndex()); index <= snapshot; index++ {
		entry, found, err := h.store.Entry(index)
		if err != nil {
			return err
		}
		if found {
			h.add(index, commands(entry)) // no datacenter is dropped: the members are not known yet
		}
	}
	h.last = snapshot
	return nil
}

// Save writes the file before entries are deleted from the log, if there are some that it
// has no events of.
func (h *History) Save(from, to uint64) {
	h.saving <- struct{}{}
	defer func() { <-h.saving }()
	h.mu.Lock()
	needed := from <= h.last && to > h.saved
	last, floor := h.last, h.floor
	var events []event
	if needed {
		h.dropFormer()
		events = h.kept(consensus.EventQuery{}, 0, last)
	}
	h.mu.Unlock()
	if !needed {
		return
	}
	data, err := encode(last, floor, events)
	if err == nil {
		err = h.store.WriteEvents(data)
	}
	if err != nil {
		h.log.Warn("failed to write the events that the log of the catalog no longer has: they are not listed after a restart", "err", err)
		return
	}
	h.mu.Lock()
	h.saved = last
	h.mu.Unlock()
}

func encode(last, floor uint64, events []event) ([]byte, error) {
	slices.SortFunc(events, before)
	c := content{Last: last, Floor: floor, Events: make([]record, 0, len(events))}
	for _, e := range events {
		c.Events = append(c.Events, record{e.Index, e.number, e.At.Unix(), e.At.Nanosecond(), e.Author, e.Kind, e.Subject})
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(file{checksum(data), data})
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// decode adds the events of a file; h.mu is held.
func (h *History) decode(data []byte) error {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if checksum(f.Content) != f.Checksum {
		return errors.New("its checksum is wrong")
	}
	var c content
	if err := json.Unmarshal(f.Content, &c); err != nil {
		return err
	}
	ascending := func(a, b record) int { return before(a.event(), b.event()) }
	if n := len(c.Events); !slices.IsSortedFunc(c.Events, ascending) || n > 0 && c.Events[n-1].Index > c.Last {
		return errors.New("its events are not in order")
	}
	for _, r := range c.Events {
		h.keep(r.event())
	}
	h.last, h.floor, h.saved = c.Last, c.Floor, c.Last
	return nil
}

func (r record) event() event {
	at := time.Unix(r.Seconds, int64(r.Nanos)).UTC()
	return event{consensus.Event{Index: r.Index, At: at, Author: r.Author, Kind: r.Kind, Subject: r.Subject}, r.Number}
}
