package history

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Change is a change of one service at an index of the log. Value is empty if it was
// deleted.
type Change struct {
	Index      uint64
	Key, Value string
}

// History records operations and changes. The zero value is ready.
type History struct {
	mu         sync.Mutex // guards all following
	clock      int64      // orders what happens at one instant of a bubble
	operations []porcupine.Operation
	changes    map[string]map[uint64]string // of each key, by index
	written    map[operation][]uint64       // indexes at which writes took effect
	uncertain  map[operation]bool           // writes of unknown outcome
	stale      []Change                     // values that stale reads returned
	problems   []error
}

func (h *History) now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// Operations returns the number of recorded operations.
func (h *History) Operations() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.operations)
}

// record adds an operation that ended, or that never does.
func (h *History) record(client int, o operation, call int64, output string, ended int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: o, Call: call, Output: output, Return: ended})
	if ended == never {
		if h.uncertain == nil {
			h.uncertain = make(map[operation]bool)
		}
		h.uncertain[o] = true
	}
}

// wrote records the index of a write. Later writes of the same entry of the log may have
// replaced its value.
func (h *History) wrote(o operation, index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tookEffect(o, index)
}

// saw records a change that a watch had. All watches must have the same.
func (h *History) saw(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changes == nil {
		h.changes = make(map[string]map[uint64]string)
	}
	if h.changes[c.Key] == nil {
		h.changes[c.Key] = make(map[uint64]string)
	}
	if known, ok := h.changes[c.Key][c.Index]; ok && known != c.Value {
		h.problems = append(h.problems, fmt.Errorf("%s at index %d is %q to one watch and %q to another", c.Key, c.Index, known, c.Value))
	}
	h.changes[c.Key][c.Index] = c.Value
	if c.Value != "" {
		h.tookEffect(operation{c.Key, Put, c.Value}, c.Index)
	}
}

// tookEffect records the index of a write, which takes effect once; h.mu is held.
func (h *History) tookEffect(o operation, index uint64) {
	if h.written == nil {
		h.written = make(map[operation][]uint64)
	}
	known := h.written[o]
	if slices.Contains(known, index) {
		return
	}
	h.written[o] = append(known, index)
	if o.kind == Put && len(known) > 0 {
		h.problems = append(h.problems, fmt.Errorf("%s: the write of %q took effect at index %d and at %d", o.key, o.value, known[0], index))
	}
}

// read records the answer of a stale read, or the state that a watch has reached.
func (h *History) read(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = append(h.stale, c)
}

func (h *History) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problems = append(h.problems, err)
}

// Check returns what is wrong with the history. limit bounds the search for an order of
// the operations.
func (h *History) Check(limit time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	problems := slices.Clone(h.problems)
	order := make(map[string][]uint64)
	for key, changes := range h.changes {
		order[key] = slices.Sorted(maps.Keys(changes))
	}
	for _, c := range h.stale {
		if err := h.checkStale(c, order[c.Key]); err != nil {
			problems = append(problems, err)
		}
	}
	for _, part := range byKey(bounded(h.operations)) {
		switch porcupine.CheckOperationsTimeout(register(), part, limit) {
		case porcupine.Illegal:
			problems = append(problems, fmt.Errorf("no order of the operations explains what the reads returned: %s", describe(part)))
		case porcupine.Unknown:
			problems = append(problems, fmt.Errorf("%d operations could not be checked within %s: use fewer per service", len(part), limit))
		case porcupine.Ok:
		}
	}
	return errors.Join(problems...)
}

// checkStale compares a value with the latest change up to its index, among the indexes
// of all changes of its key that watches had; h.mu is held. They may have missed some,
// where they had the state of a snapshot, and writes of unknown outcome.
func (h *History) checkStale(c Change, indexes []uint64) error {
	after, found := slices.BinarySearch(indexes, c.Index)
	if found {
		after++
	}
	want, at := "", uint64(0)
	if after > 0 {
		at = indexes[after-1]
		want = h.changes[c.Key][at]
	}
	o := operation{c.Key, Put, c.Value}
	if c.Value == "" {
		o.kind = Delete
	}
	unseen := slices.ContainsFunc(h.written[o], func(index uint64) bool { return at < index && index <= c.Index })
	possible := h.uncertain[o] && (o.kind == Delete || len(h.written[o]) == 0) // a value is written once
	if c.Value == want || unseen || possible {
		return nil
	}
	return fmt.Errorf("%s is %q at index %d, but index %d wrote %q", c.Key, c.Value, c.Index, at, want)
}
