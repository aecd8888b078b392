package feed

import (
	"fmt"
	"iter"
	"slices"
	"sort"
	"sync"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// maxSize bounds what is kept, in records: one for a service, more for an export with
// many endpoints. It is a few MiB, and the history of a restart of meshd.
const maxSize = 8192

// Change is one item that an entry of the log stored, replaced or deleted, as a watcher
// gets it.
type Change struct {
	Before, After *Item // nil: there is none
	Deleted       bool  // the item no longer exists, or the filter no longer selects it
	forms         *forms
}

func newChange(before, after *Item) Change {
	return Change{Before: before, After: after, forms: &forms{}}
}

// forms are what all watchers of a change share: one form for those to which the item is
// deleted, and one for the others.
type forms struct{ deleted, put form }

// form is what watchers derive from a change.
type form struct {
	once  sync.Once
	value any
}

// Form returns what derive returned at its first call for the change, so that all
// watchers to which the item is deleted, or all others, share it.
func (c Change) Form(derive func() any) any {
	f := &c.forms.put
	if c.Deleted {
		f = &c.forms.deleted
	}
	f.once.Do(func() { f.value = derive() })
	return f.value
}

// item returns the version of the item that names it.
func (c Change) item() *Item {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// entry is the changes of one entry of the log, or those of a restored snapshot.
type entry struct {
	index   uint64
	changes []Change
	size    int
	// The changes of a snapshot are those since an index, each without what was in
	// between. For a log entry, it is 0.
	since uint64
}

// LostError reports that the changes after an index are no longer known.
type LostError struct {
	After uint64 // that index
	Index uint64 // of the newest change
}

// Error names both indexes.
func (e *LostError) Error() string {
	return fmt.Sprintf("the changes after index %d are no longer known at index %d", e.After, e.Index)
}

// Feed keeps the latest changes. The zero value is not ready; use New.
type Feed struct {
	limit int

	mu      sync.Mutex // guards all following
	entries []entry    // by index
	first   uint64     // position of entries[0]; positions only rise
	size    int        // of entries
	floor   uint64     // all changes after it are in entries
	head    uint64     // index of the last entry of the log
	groups  map[catalog.ServiceName]*group
	dirty   map[*group]bool // whose watchers are to be woken
	waking  bool            // wakeDirty runs
}

// New returns a feed whose history begins at index 0.
func New() *Feed { return newFeed(maxSize) }

func newFeed(limit int) *Feed {
	return &Feed{limit: limit, groups: map[catalog.ServiceName]*group{}, dirty: map[*group]bool{}}
}

// Observe is a replica.Observer, which adds the changes of an entry. Its cost is that of
// the changes, however many watch: a goroutine of its own wakes them.
func (f *Feed) Observe(before, after *replica.View, changes iter.Seq2[any, any]) {
	e := entry{index: after.Index()}
	if changes != nil {
		e.changes = collect(before, after, changes)
	} else if before.Index() > 0 {
		e.since = before.Index()
		e.changes = diff(before, after)
	}
	f.append(e, changes == nil)
}

// collect returns the changes of services, sorted by key.
func collect(before, after *replica.View, changes iter.Seq2[any, any]) []Change {
	var found []Change
	touched := map[catalog.ExportKey]bool{}
	for old, now := range changes {
		was, isService := old.(*catalog.Service)
		is, alsoService := now.(*catalog.Service)
		switch {
		case isService || alsoService:
			found = append(found, newChange(serviceItem(was), serviceItem(is)))
		default:
			for _, record := range []any{old, now} {
				if k, ok := exportKey(record); ok {
					touched[k] = true
				}
			}
		}
	}
	for k := range touched {
		if c := newChange(exported(before, k), exported(after, k)); c.item() != nil {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Change) int { return a.item().Key().Compare(b.item().Key()) })
	return found
}

func serviceItem(s *catalog.Service) *Item {
	if s == nil {
		return nil
	}
	return &Item{Service: s}
}

func exportKey(record any) (catalog.ExportKey, bool) {
	switch r := record.(type) {
	case *catalog.Export:
		return r.ExportKey, true
	case *catalog.EndpointSlice:
		return r.ExportKey, true
	}
	return catalog.ExportKey{}, false
}

// diff returns what differs between two views.
func diff(before, after *replica.View) []Change {
	old, now := byKey(List(before, Filter{})), byKey(List(after, Filter{}))
	var found []Change
	for _, k := range sortedKeys(old, now) {
		if !equal(old[k], now[k]) {
			found = append(found, newChange(old[k], now[k]))
		}
	}
	return found
}

// append adds an entry. A watcher that begins after a restore cannot continue from an
// index before it.
func (f *Feed) append(e entry, restored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head = e.index
	if restored {
		f.floor = e.index
	}
	if len(e.changes) == 0 {
		return
	}
	for _, c := range e.changes {
		e.size += max(c.Before.size(), c.After.size())
		f.touch(c.item().Key().name(), func(g *group) { f.dirty[g] = true })
	}
	f.entries = append(f.entries, e)
	f.size += e.size
	for f.size > f.limit && len(f.entries) > 1 {
		f.trim()
	}
	f.wake()
}

// touch calls do with the groups of a name that have watchers.
func (f *Feed) touch(name catalog.ServiceName, do func(*group)) {
	for _, n := range []catalog.ServiceName{name, {}} {
		if g := f.groups[n]; g != nil {
			do(g)
		}
	}
}

// trim forgets the oldest entry.
func (f *Feed) trim() {
	oldest := f.entries[0]
	for _, c := range oldest.changes {
		f.touch(c.item().Key().name(), func(g *group) { g.trimmed = f.first + 1 })
	}
	f.entries[0] = entry{} // so that it can be collected
	f.entries = f.entries[1:]
	f.first++
	f.size -= oldest.size
	f.floor = max(f.floor, oldest.index)
}

// after returns the position of the first entry with a higher index; f.mu is held.
func (f *Feed) after(index uint64) uint64 {
	return f.first + uint64(sort.Search(len(f.entries), func(i int) bool { return f.entries[i].index > index }))
}

// wake starts the goroutine that wakes the watchers of the dirty groups, unless it
// runs; f.mu is held.
func (f *Feed) wake() {
	if len(f.dirty) == 0 || f.waking {
		return
	}
	f.waking = true
	go f.wakeDirty()
}

// wakeDirty ends when no group is dirty.
func (f *Feed) wakeDirty() {
	for {
		var watchers []*Watcher
		f.mu.Lock()
		for g := range f.dirty {
			for w := range g.watchers {
				watchers = append(watchers, w)
			}
		}
		clear(f.dirty)
		f.waking = len(watchers) > 0
		f.mu.Unlock()
		if len(watchers) == 0 {
			return
		}
		for _, w := range watchers {
			w.notify()
		}
	}
}
