package feed

import (
	"github.com/meshway/meshway/consensus/catalog"
)

// group is the watchers of one service, or, under the empty name, those of more than
// one. A watcher is not woken by changes of other groups, so that these may be trimmed
// without a loss for it.
type group struct {
	watchers map[*Watcher]bool
	trimmed  uint64 // position after the latest trimmed change of the group
}

// Watcher reads the changes that a filter selects, each once and in the order of the
// log. It has no queue: what it holds does not depend on how slowly it is read. Only one
// goroutine may call Next.
type Watcher struct {
	feed   *Feed
	filter Filter
	group  *group
	signal chan struct{}

	next  uint64 // position of the first entry that was not read; guarded by feed.mu
	index uint64 // all changes up to it were read; guarded by feed.mu
}

// Batch is the changes of one entry of the log. Without changes, nothing that the filter
// selects has changed up to the index.
type Batch struct {
	Index   uint64
	Changes []Change
}

// Watch returns a watcher of the changes after an index. The caller closes it.
func (f *Feed) Watch(filter Filter, after uint64) (*Watcher, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < f.floor {
		return nil, &LostError{After: after, Index: f.head}
	}
	name := filter.name()
	g := f.groups[name]
	if g == nil {
		g = &group{watchers: map[*Watcher]bool{}}
		f.groups[name] = g
	}
	w := &Watcher{feed: f, filter: filter, group: g, signal: make(chan struct{}, 1), next: f.after(after), index: after}
	g.watchers[w] = true
	return w, nil
}

// name returns the only service that f selects, empty if there may be several.
func (f Filter) name() catalog.ServiceName {
	if f.Namespace == "" || f.Name == "" {
		return catalog.ServiceName{}
	}
	return catalog.ServiceName{Namespace: f.Namespace, Name: f.Name}
}

// Close removes the watcher.
func (w *Watcher) Close() {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(w.group.watchers, w)
	if len(w.group.watchers) == 0 {
		delete(f.dirty, w.group)
		delete(f.groups, w.filter.name())
	}
}

// Changed returns a channel that is ready when Next may return changes again.
func (w *Watcher) Changed() <-chan struct{} { return w.signal }

func (w *Watcher) notify() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// Next returns the next batch with changes, or one without changes if there is none yet.
// The error is a *LostError, after which the watcher is of no more use.
func (w *Watcher) Next() (Batch, error) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.group.trimmed > w.next {
		return Batch{}, &LostError{After: w.index, Index: f.head}
	}
	for w.next = max(w.next, f.first); w.next < f.first+uint64(len(f.entries)); {
		e := f.entries[w.next-f.first]
		w.next++
		changes := w.filter.changes(e)
		if len(changes) == 0 || e.index <= w.index {
			continue
		}
		if e.since > 0 && w.index > e.since {
			return Batch{}, &LostError{After: w.index, Index: f.head}
		}
		w.index = e.index
		return Batch{Index: e.index, Changes: changes}, nil
	}
	w.index = max(w.index, f.head)
	return Batch{Index: w.index}, nil
}

// changes returns the changes of e that f selects.
func (f Filter) changes(e entry) []Change {
	var changes []Change
	for _, c := range e.changes {
		switch {
		case f.Selects(c.After):
			changes = append(changes, c)
		case f.Selects(c.Before):
			c.Deleted = true
			changes = append(changes, c)
		}
	}
	return changes
}
