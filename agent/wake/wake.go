// Package wake tells those who wait that there is something new to look at. What
// it is they see for themselves: events carry no data.
package wake

import (
	"reflect"
	"sync"
)

// One wakes one loop. Many calls before it looks are one.
type One chan struct{}

// NewOne returns one that nobody has woken yet.
func NewOne() One { return make(One, 1) }

// Up makes the loop look again; it never blocks.
func (o One) Up() {
	select {
	case o <- struct{}{}:
	default:
	}
}

// All wakes any number of those who wait. The zero value is ready.
type All struct {
	mu   sync.Mutex // guards all following fields
	next chan struct{}
}

// Changed is closed at the next Up after this call.
func (a *All) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

// Up wakes all who wait now.
func (a *All) Up() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}

// Latest is the newest value of something, of which readers need no other. The
// zero value holds the zero value.
type Latest[T any] struct {
	mu    sync.Mutex // guards value
	value T
	news  All
}

// Get returns the value. It is shared: do not change it.
func (l *Latest[T]) Get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// Changed is closed at the next change of the value after this call.
func (l *Latest[T]) Changed() <-chan struct{} { return l.news.Changed() }

// Set tells whether the value is new.
func (l *Latest[T]) Set(value T) bool {
	l.mu.Lock()
	same := reflect.DeepEqual(l.value, value)
	l.value = value
	l.mu.Unlock()
	if !same {
		l.news.Up()
	}
	return !same
}
