package registrar

import (
	"fmt"
	"slices"
	"sync"

	"github.com/meshway/meshway/consensus/catalog"
)

// saves are the changes of the registered services that wait for the store. The
// store writes all services and syncs the disk, so that changes that arrive
// meanwhile share the next write.
type saves struct {
	mu      sync.Mutex // guards all following
	waiting []*save
	running bool
}

// save is one change; done receives its outcome.
type save struct {
	change func([]catalog.Service) []catalog.Service
	done   chan error
}

// replace changes the registered services in the store, then in memory. Changes are
// made one after the other.
func (r *Registrar) replace(change func([]catalog.Service) []catalog.Service) error {
	own := &save{change: change, done: make(chan error, 1)}
	r.saves.mu.Lock()
	r.saves.waiting = append(r.saves.waiting, own)
	first := !r.saves.running
	r.saves.running = true
	r.saves.mu.Unlock()
	for first {
		batch := r.saves.next()
		if len(batch) == 0 {
			break
		}
		err := r.save(batch)
		for _, s := range batch {
			s.done <- err
		}
	}
	return <-own.done
}

// next returns the changes that wait; when there are none, the next change begins
// to save again.
func (s *saves) next() []*save {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.waiting
	s.waiting = nil
	s.running = len(batch) > 0
	return batch
}

// save makes changes together. It is called by one goroutine at a time.
func (r *Registrar) save(batch []*save) error {
	r.mu.Lock()
	after := slices.Clone(r.registered)
	r.mu.Unlock()
	for _, s := range batch {
		after = s.change(after)
	}
	if err := r.cfg.Store.Save(after); err != nil {
		return fmt.Errorf("save registration: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.registered = after
	r.want.Services = r.services()
	return nil
}

// writing counts the writes under way of each service.
type writing map[catalog.ServiceKey]*writes

type writes struct {
	number     int
	overlapped bool // so that the order in the catalog may differ from that in the store
}

// keys returns the keys as a set.
func (w writing) keys() map[catalog.ServiceKey]bool {
	if len(w) == 0 {
		return nil
	}
	set := make(map[catalog.ServiceKey]bool, len(w))
	for key := range w {
		set[key] = true
	}
	return set
}

// beginWrite marks services as written by a caller until end is called. Other
// commits wake the registrar meanwhile, which would write them a second time.
func (r *Registrar) beginWrite(keys ...catalog.ServiceKey) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if r.writing == nil {
			r.writing = writing{}
		}
		w := r.writing[key]
		if w == nil {
			w = &writes{}
			r.writing[key] = w
		}
		w.number++
		w.overlapped = w.overlapped || w.number > 1
	}
	return func() { r.endWrite(keys) }
}

func (r *Registrar) endWrite(keys []catalog.ServiceKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		w := r.writing[key]
		if w.number--; w.number > 0 {
			continue
		}
		delete(r.writing, key)
		if w.overlapped {
			r.wake.Notify()
		}
	}
}
