package registrar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/sharedcall"
)

// maxTogether bounds the writes of callers that share one write of the store, and one of
// the catalog.
const maxTogether = 256

// sharedWrites are the writes under way, of the store and of the catalog: one of each at
// a time, so that as many callers as possible share the next one.
type sharedWrites struct {
	saves  sharedcall.Group[func(*edit), struct{}]
	writes sharedcall.Group[*catalogpb.Command, written]
}

// edit is what changes make of the registered services.
type edit struct {
	former  map[catalog.ServiceKey]catalog.Service  // before all of them
	changed map[catalog.ServiceKey]*catalog.Service // nil: removed
}

func (e *edit) get(key catalog.ServiceKey) (catalog.Service, bool) {
	if s, ok := e.changed[key]; ok {
		if s == nil {
			return catalog.Service{}, false
		}
		return *s, true
	}
	s, ok := e.former[key]
	return s, ok
}

func (e *edit) put(s catalog.Service) { e.changed[s.ServiceKey] = &s }

func (e *edit) remove(key catalog.ServiceKey) { e.changed[key] = nil }

// instances returns the keys of a service.
func (e *edit) instances(namespace, name string) []catalog.ServiceKey {
	keys := map[catalog.ServiceKey]bool{}
	for key := range e.former {
		if key.Namespace == namespace && key.Name == name {
			keys[key] = true
		}
	}
	for key, s := range e.changed {
		if key.Namespace == namespace && key.Name == name {
			keys[key] = s != nil
		}
	}
	maps.DeleteFunc(keys, func(_ catalog.ServiceKey, found bool) bool { return !found })
	return slices.SortedFunc(maps.Keys(keys), compareServiceKeys)
}

// save changes the registered services in the store, then in memory. Changes that arrive
// while the store writes share its next write. They are made one after the other, whether
// or not the caller waits.
func (r *Registrar) save(ctx context.Context, change func(*edit)) error {
	_, err := r.shared.saves.Call(context.WithoutCancel(ctx), change, 1)
	return err
}

// saveTogether makes changes with one write. It is called by one goroutine at a time,
// the only one that changes r.registered.
func (r *Registrar) saveTogether(_ context.Context, batch []func(*edit)) ([]struct{}, error) {
	outcomes := make([]struct{}, len(batch))
	e := &edit{former: r.registered, changed: map[catalog.ServiceKey]*catalog.Service{}}
	for _, change := range batch {
		change(e)
	}
	var put []catalog.Service
	var remove []catalog.ServiceKey
	for key, s := range e.changed {
		if s != nil {
			put = append(put, *s)
		} else {
			remove = append(remove, key)
		}
	}
	if len(e.changed) == 0 {
		return outcomes, nil
	}
	if err := r.cfg.Store.Update(put, remove); err != nil {
		return nil, fmt.Errorf("save registration: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range put {
		r.registered[s.ServiceKey], r.want.Services[s.ServiceKey] = s, s
	}
	for _, key := range remove {
		delete(r.registered, key)
		if s, ok := r.static[key]; ok {
			r.want.Services[key] = s
		} else {
			delete(r.want.Services, key)
		}
	}
	return outcomes, nil
}

// written is the outcome of one command.
type written struct {
	result catalog.Result
	err    error
}

// propose writes a command to the catalog, with those of other callers.
func (r *Registrar) propose(ctx context.Context, command *catalogpb.Command) (catalog.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	w, err := r.shared.writes.Call(ctx, command, 1)
	if err != nil {
		return catalog.Result{}, err
	}
	return w.result, w.err
}

// proposeTogether writes the commands of several callers. A command that is rejected
// rejects all, without effect: then each is written alone.
func (r *Registrar) proposeTogether(ctx context.Context, commands []*catalogpb.Command) ([]written, error) {
	results, err := r.cfg.Catalog.Propose(ctx, commands...)
	outcomes := make([]written, len(commands))
	for i, command := range commands {
		switch {
		case err == nil:
			outcomes[i].result = results[i]
		case len(commands) > 1 && errors.Is(err, consensus.ErrRejected):
			alone, err := r.cfg.Catalog.Propose(ctx, command)
			if outcomes[i].err = err; err == nil {
				outcomes[i].result = alone[0]
			}
		default:
			outcomes[i].err = err
		}
	}
	return outcomes, nil
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
			r.compare()
		}
	}
}
