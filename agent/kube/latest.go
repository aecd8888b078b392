package kube

import (
	"reflect"
	"sync"
)

// latest is the newest value of something, of which readers need no other.
type latest[T any] struct {
	mu    sync.Mutex // guards all following fields
	value T
	next  chan struct{}
}

func (l *latest[T]) get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// changed is closed at the next change after this call.
func (l *latest[T]) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = make(chan struct{})
	}
	return l.next
}

// set tells whether the value is new.
func (l *latest[T]) set(value T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reflect.DeepEqual(l.value, value) {
		return false
	}
	l.value = value
	if l.next != nil {
		close(l.next)
		l.next = nil
	}
	return true
}
