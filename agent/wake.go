package agent

import "sync"

// signal tells any number of those who wait that something is new.
type signal struct {
	mu   sync.Mutex
	next chan struct{}
}

// changed is closed at the next fire after this call.
func (s *signal) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

// wake tells a loop to look again. Many calls before the loop looks are one.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}
