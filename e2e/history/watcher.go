package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/consensus/catalog/feed"
)

// watcher watches the services at one member after another. It resumes at the last
// index that it has, and reads the services again if the member does not have the
// changes since then.
type watcher struct {
	history *History
	random  *rand.Rand
	nodes   []*node
	values  map[string]string
	index   uint64
	done    atomic.Uint64 // index, for other goroutines
}

// reached returns the index up to which w has all changes.
func (w *watcher) reached() uint64 { return w.done.Load() }

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		n := w.nodes[w.random.IntN(len(w.nodes))]
		stay, cancel := context.WithTimeout(ctx, time.Duration(w.random.IntN(3000))*time.Millisecond)
		var lost *feed.LostError
		if err := w.follow(stay, n); errors.As(err, &lost) {
			w.list(n)
		}
		cancel()
	}
}

// follow watches at one member until ctx ends or the watch is lost.
func (w *watcher) follow(ctx context.Context, n *node) error {
	changes, err := n.watch(w.index)
	if err != nil {
		return fmt.Errorf("watch from index %d: %w", w.index, err)
	}
	defer changes.Close()
	for {
		b, err := changes.Next()
		if err != nil {
			return fmt.Errorf("watch at index %d: %w", w.index, err)
		}
		w.apply(b)
		if len(b.Changes) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes.Changed(): // of what the filter selects
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// filter selects the services of the clients.
var filter = feed.Filter{Namespace: "test"} //nolint:gochecknoglobals // a constant

func (w *watcher) apply(b feed.Batch) {
	if b.Index < w.index || len(b.Changes) > 0 && b.Index == w.index {
		w.history.fail(fmt.Errorf("a watch at index %d got index %d", w.index, b.Index))
	}
	w.index = b.Index
	w.done.Store(b.Index)
	for _, change := range b.Changes {
		c := Change{Index: b.Index}
		if change.After != nil && !change.Deleted {
			c.Key, c.Value = change.After.Key().Name, change.After.Service.Labels["value"]
			c.Index = change.After.ModifiedIndex() // a snapshot has changes of several indexes
		} else {
			c.Key = change.Before.Key().Name
		}
		if w.values[c.Key] == c.Value {
			w.history.fail(fmt.Errorf("%s at index %d: a watch got %q again", c.Key, b.Index, c.Value))
		}
		w.values[c.Key] = c.Value
		if c.Value != "" || c.Index == b.Index {
			w.history.saw(c)
		}
	}
	for key, value := range w.values {
		w.history.read(Change{b.Index, key, value})
	}
}

// list reads the services of a member.
func (w *watcher) list(n *node) {
	open, err := n.current()
	if err != nil {
		return
	}
	view := open.View()
	if view.Index() < w.index { // it has not caught up
		return
	}
	w.index, w.values = view.Index(), map[string]string{}
	for _, item := range feed.List(view, filter) {
		w.values[item.Key().Name] = item.Service.Labels["value"]
	}
	for key, value := range w.values {
		w.history.read(Change{w.index, key, value})
	}
}
