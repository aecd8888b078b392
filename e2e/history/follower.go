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

// follower watches the services at one member after another. It resumes at the last
// index that it has, and reads the services again if the member does not have the
// changes since then.
type follower struct {
	history *History
	random  *rand.Rand
	nodes   []*node
	values  map[string]string
	index   uint64
	done    atomic.Uint64 // index, for other goroutines
}

// reached returns the index up to which f has all changes.
func (f *follower) reached() uint64 { return f.done.Load() }

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		n := f.nodes[f.random.IntN(len(f.nodes))]
		stay, cancel := context.WithTimeout(ctx, time.Duration(f.random.IntN(3000))*time.Millisecond)
		var lost *feed.LostError
		if err := f.follow(stay, n); errors.As(err, &lost) {
			f.list(n)
		}
		cancel()
	}
}

// follow watches at one member until ctx ends or the watch is lost.
func (f *follower) follow(ctx context.Context, n *node) error {
	w, err := n.current().Feed().Watch(filter, f.index)
	if err != nil {
		return fmt.Errorf("watch from index %d: %w", f.index, err)
	}
	defer w.Close()
	for {
		b, err := w.Next()
		if err != nil {
			return fmt.Errorf("watch at index %d: %w", f.index, err)
		}
		f.apply(b)
		if len(b.Events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.Changed(): // of what the filter selects
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// filter selects the services of the clients.
var filter = feed.Filter{Namespace: "test"} //nolint:gochecknoglobals // a constant

func (f *follower) apply(b feed.Batch) {
	if b.Index < f.index || len(b.Events) > 0 && b.Index == f.index {
		f.history.fail(fmt.Errorf("a watch at index %d got index %d", f.index, b.Index))
	}
	f.index = b.Index
	f.done.Store(b.Index)
	for _, e := range b.Events {
		c := Change{Index: b.Index}
		if e.After != nil && !e.Deleted {
			c.Key, c.Value = e.After.Key().Name, e.After.Service.Labels["value"]
			c.Index = e.After.ModifiedIndex() // a snapshot has changes of several indexes
		} else {
			c.Key = e.Before.Key().Name
		}
		if f.values[c.Key] == c.Value {
			f.history.fail(fmt.Errorf("%s at index %d: a watch got %q again", c.Key, b.Index, c.Value))
		}
		f.values[c.Key] = c.Value
		if c.Value != "" || c.Index == b.Index {
			f.history.saw(c)
		}
	}
	for key, value := range f.values {
		f.history.read(Change{b.Index, key, value})
	}
}

// list reads the services of a member.
func (f *follower) list(n *node) {
	view := n.current().View()
	if view.Index() < f.index { // it has not caught up
		return
	}
	f.index, f.values = view.Index(), map[string]string{}
	for _, item := range feed.List(view, filter) {
		f.values[item.Key().Name] = item.Service.Labels["value"]
	}
	for key, value := range f.values {
		f.history.read(Change{f.index, key, value})
	}
}
