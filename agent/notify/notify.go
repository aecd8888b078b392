// Package notify wakes goroutines that wait for a change. A notification
// carries no data: the receiver reads the current state itself, so that any
// number of notifications before it does count as one.
package notify

import (
	"reflect"
	"sync"
)

// Signal wakes one loop. It is a channel from which that loop receives;
// notifications before it receives are merged into one.
type Signal chan struct{}

// NewSignal returns a signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Notify sets the signal. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Broadcast wakes any number of waiting goroutines. The zero value is ready.
type Broadcast struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// Changed returns a channel that is closed at the next Notify after this call.
func (b *Broadcast) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Notify closes the channel that earlier calls of Changed returned.
func (b *Broadcast) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Latest holds the newest value of something whose earlier values no reader
// needs. The zero value holds the zero value of T.
type Latest[T any] struct {
	mu      sync.Mutex // guards value
	value   T
	changed Broadcast
}

// Get returns the value. It is shared: callers must not modify it.
func (l *Latest[T]) Get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// Changed returns a channel that is closed at the next change of the value
// after this call.
func (l *Latest[T]) Changed() <-chan struct{} { return l.changed.Changed() }

// Set stores value and reports whether it differs from the one before.
func (l *Latest[T]) Set(value T) bool {
	l.mu.Lock()
	same := reflect.DeepEqual(l.value, value)
	l.value = value
	l.mu.Unlock()
	if !same {
		l.changed.Notify()
	}
	return !same
}

// Changed returns the signal itself, so that it can be a source of Loop.
func (s Signal) Changed() <-chan struct{} { return s }
