package dataplane

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/meshway/meshway/routes"
)

// FirewallStore keeps a firewall over restarts (state.File).
type FirewallStore interface {
	Load() (routes.Firewall, bool, error)
	Save(fw routes.Firewall) error
	Remove() error
}

// LastFirewall is a filter that stores what it applies, so that the prefixes of
// other datacenters are guarded after a boot, before anything else is known.
type LastFirewall struct {
	routes.Filter
	Store FirewallStore

	mu     sync.Mutex       // guards stored
	stored *routes.Firewall // nil: not known yet
}

// Apply implements routes.Filter. The firewall is stored first.
func (f *LastFirewall) Apply(ctx context.Context, fw routes.Firewall) error {
	err := f.save(fw)
	return errors.Join(err, f.Filter.Apply(ctx, fw))
}

func (f *LastFirewall) save(fw routes.Firewall) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stored != nil && reflect.DeepEqual(*f.stored, fw) {
		return nil
	}
	f.stored = nil
	if err := f.Store.Save(fw); err != nil {
		return err
	}
	f.stored = &fw
	return nil
}

// Remove implements routes.Filter.
func (f *LastFirewall) Remove(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.Filter.Remove(ctx); err != nil {
		return err
	}
	f.stored = nil
	return f.Store.Remove()
}

// Restore applies the stored firewall if the host has none, as after a boot.
func (f *LastFirewall) Restore(ctx context.Context) error {
	fw, found, err := f.Store.Load()
	if err != nil || !found {
		return err
	}
	state, err := f.Filter.State(ctx)
	if err != nil {
		return fmt.Errorf("restore the firewall: %w", err)
	}
	if state != routes.TableAbsent {
		return nil
	}
	if err := f.Filter.Apply(ctx, fw); err != nil {
		return fmt.Errorf("restore the firewall: %w", err)
	}
	return nil
}
