// Package memnet simulates the links between hosts in memory: they can be cut,
// healed and delayed, each direction by itself. Its connections are TCP streams
// over two such links. It works in testing/synctest bubbles, because it has no
// goroutines and waits only on channels and timers.
package memnet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Links is the state of the links between hosts, which H identifies. All links
// exist and are whole at first.
type Links[H comparable] struct {
	mu      sync.Mutex // guards all following fields
	hosts   []H
	cut     map[direction[H]]bool
	sent    map[direction[H]]int
	delay   time.Duration
	changed chan struct{} // closed at the next change of a link
}

// direction is the way from one host to another.
type direction[H comparable] struct{ from, to H }

// NewLinks returns links without hosts.
func NewLinks[H comparable]() *Links[H] {
	return &Links[H]{
		cut:     make(map[direction[H]]bool),
		sent:    make(map[direction[H]]int),
		changed: make(chan struct{}),
	}
}

// Add makes a host known to Isolate. A host may be added more than once.
func (l *Links[H]) Add(host H) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.hosts, host) {
		l.hosts = append(l.hosts, host)
	}
}

// Delay makes everything that is sent from now on take d in one direction.
func (l *Links[H]) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// Cut stops what one host sends to another. The opposite direction stays as it is.
func (l *Links[H]) Cut(from, to H) { l.change(func() { l.cut[direction[H]{from, to}] = true }) }

// Restore undoes Cut.
func (l *Links[H]) Restore(from, to H) { l.change(func() { delete(l.cut, direction[H]{from, to}) }) }

// Isolate cuts a host off from all others, in both directions.
func (l *Links[H]) Isolate(host H) {
	l.change(func() {
		for _, other := range l.hosts {
			if other != host {
				l.cut[direction[H]{host, other}] = true
				l.cut[direction[H]{other, host}] = true
			}
		}
	})
}

// Rejoin makes all links of a host whole.
func (l *Links[H]) Rejoin(host H) {
	l.change(func() {
		for d := range l.cut {
			if d.from == host || d.to == host {
				delete(l.cut, d)
			}
		}
	})
}

// Partition splits hosts into groups that do not reach each other. Links inside a
// group are whole; the links of other hosts stay as they are.
func (l *Links[H]) Partition(groups ...[]H) {
	l.change(func() {
		group := make(map[H]int)
		for i, hosts := range groups {
			for _, host := range hosts {
				group[host] = i
			}
		}
		for a, x := range group {
			for b, y := range group {
				l.cut[direction[H]{a, b}] = x != y
			}
		}
	})
}

// Heal makes all links whole.
func (l *Links[H]) Heal() { l.change(func() { clear(l.cut) }) }

// Notify makes all waiters check their links again.
func (l *Links[H]) Notify() { l.change(func() {}) }

func (l *Links[H]) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Sent returns how many messages one host sent to another: writes to streams, and
// what Count counted.
func (l *Links[H]) Sent(from, to H) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[direction[H]{from, to}]
}

// Link returns the link from one host to another.
func (l *Links[H]) Link(from, to H) Link { return hostLink[H]{l, direction[H]{from, to}} }

// Link is one direction between two hosts.
type Link interface {
	// State reports whether the link passes messages now, how long they take, and
	// when to check again: the channel is closed when the link may have changed.
	State() (whole bool, delay time.Duration, changed <-chan struct{})
	// Count counts a message.
	Count()
}

type hostLink[H comparable] struct {
	links *Links[H]
	way   direction[H]
}

func (l hostLink[H]) State() (whole bool, delay time.Duration, changed <-chan struct{}) {
	l.links.mu.Lock()
	defer l.links.mu.Unlock()
	return !l.links.cut[l.way], l.links.delay, l.links.changed
}

func (l hostLink[H]) Count() {
	l.links.mu.Lock()
	defer l.links.mu.Unlock()
	l.links.sent[l.way]++
}

// Travel waits for as long as a message takes over the link: while the link is
// cut, and then for its delay. It fails when ctx ends first.
func Travel(ctx context.Context, l Link) error {
	for {
		whole, delay, changed := l.State()
		if whole {
			return sleep(ctx, delay)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the link is cut: %w", ctx.Err())
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
