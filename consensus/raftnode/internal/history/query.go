package history

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Events returns the events that a query selects, oldest first, and an index: the query
// continues after it. Without After, these are the newest ones, where the last ones of
// each datacenter precede older ones of others.
func (h *History) Events(q consensus.EventQuery) ([]consensus.Event, uint64, error) {
	if q.Limit <= 0 {
		q.Limit = consensus.DefaultEvents
	}
	q.Limit = min(q.Limit, consensus.MaxEvents)
	query := h.newest
	if q.After > 0 {
		query = h.following
	}
	found, through, err := query(q)
	if err != nil {
		return nil, 0, fmt.Errorf("read the log of the catalog: %w", err)
	}
	events := make([]consensus.Event, 0, len(found))
	for _, e := range found {
		events = append(events, e.Event)
	}
	return events, through, nil
}

// newest returns the newest events of the rings, and if there is room, the newest others
// of the log.
func (h *History) newest(q consensus.EventQuery) ([]event, uint64, error) {
	h.mu.Lock()
	found, floor, last := h.kept(q, 0, h.last), h.floor, h.last
	inRing := make(map[catalog.DatacenterName]int, len(h.rings)) // that many of a datacenter are the last ones in the log
	for name, r := range h.rings {
		inRing[name] = len(r.events)
	}
	h.mu.Unlock()
	slices.SortFunc(found, before)
	if excess := len(found) - q.Limit; excess > 0 {
		found = found[excess:]
	}
	for index := last; index >= max(floor, 1) && len(found) < q.Limit; index-- {
		entry, ok, err := h.store.Entry(index)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			break // the log begins after it
		}
		for i, cmd := range slices.Backward(commands(entry)) {
			e := event{consensus.NewEvent(index, cmd), i}
			if author := e.Author.Datacenter(); inRing[author] > 0 {
				inRing[author]--
			} else if q.Matches(e.Author) {
				found = append(found, e)
			}
		}
	}
	found = found[:min(len(found), q.Limit)]
	slices.SortFunc(found, before)
	return found, last, nil
}

// following returns the first events after an index. Those of entries that are no longer
// in the log are the ones of the rings.
func (h *History) following(q consensus.EventQuery) ([]event, uint64, error) {
	h.mu.Lock()
	floor, last := h.floor, h.last
	h.mu.Unlock()
	var found []event
	for index := q.After + 1; index <= last; index++ {
		entry, ok, err := h.store.Entry(index)
		if err != nil {
			return nil, 0, err
		}
		if ok && index >= floor {
			for i, cmd := range commands(entry) {
				if e := (event{consensus.NewEvent(index, cmd), i}); q.Matches(e.Author) {
					found = append(found, e)
				}
			}
		} else {
			begin := h.begin(index, floor, last)
			found = append(found, h.between(q, index, begin)...)
			index = begin - 1
		}
		if len(found) >= q.Limit {
			end := endOf(found, q.Limit)
			return found[:end], found[end-1].Index, nil
		}
	}
	return found, max(last, q.After), nil
}

// begin returns the index after one that is not in the log at which the log begins, or
// last+1.
func (h *History) begin(index, floor, last uint64) uint64 {
	begin := max(h.store.FirstIndex(), floor)
	if begin <= index || begin > last {
		return last + 1
	}
	return begin
}

// between returns the events of the rings from an index on and before end.
func (h *History) between(q consensus.EventQuery, from, end uint64) []event {
	h.mu.Lock()
	found := h.kept(q, from, end-1)
	h.mu.Unlock()
	slices.SortFunc(found, before)
	return found
}

// endOf returns how many events the first n are with the others of the last one's entry.
func endOf(events []event, n int) int {
	for n < len(events) && events[n].Index == events[n-1].Index {
		n++
	}
	return n
}

// kept returns the events of the rings that q selects with indexes from first to last, in
// no order. h.mu is held.
func (h *History) kept(q consensus.EventQuery, first, last uint64) []event {
	var found []event
	for _, r := range h.rings {
		for _, e := range r.events {
			if e.Index >= first && e.Index <= last && q.Matches(e.Author) {
				found = append(found, e)
			}
		}
	}
	return found
}
