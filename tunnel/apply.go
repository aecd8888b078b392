package tunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Device is a data plane: kernel WireGuard, or wireguard-go in its own process.
// Apply is its only writer; two calls never overlap.
type Device interface {
	// List returns Meshway's own interfaces with their peers, sorted by name.
	// Foreign interfaces are not listed and never make List fail.
	List(ctx context.Context) ([]Observed, error)
	// Create creates an interface. An existing interface of Meshway is adopted
	// unchanged; a foreign one is an error.
	Create(ctx context.Context, name string, mtu int) error
	// Configure applies a change that Diff computed for one interface.
	Configure(ctx context.Context, change Change) error
	// Remove deletes an interface of Meshway. A missing interface is no error.
	Remove(ctx context.Context, name string) error
}

// Apply changes the interfaces of dev to want and returns the interfaces as
// observed afterwards, even if it fails in part. A failing interface does not
// stop the others; the returned error joins all errors. Other interfaces and
// peers are removed only if prune is set, interfaces last. If nothing differs,
// Apply calls only List.
func Apply(ctx context.Context, dev Device, key PrivateKey, want []Config, prune bool) ([]Observed, error) {
	if key.IsZero() {
		return nil, errors.New("apply tunnels: no private key")
	}
	have, err := dev.List(ctx)
	if err != nil {
		return have, fmt.Errorf("list interfaces: %w", err)
	}
	a := applier{dev: dev, key: key, prune: prune}
	if a.create(ctx, want, have) {
		if have, err = dev.List(ctx); err != nil {
			return have, errors.Join(append(a.errs, fmt.Errorf("list interfaces: %w", err))...)
		}
	}
	a.configure(ctx, want, have)
	if prune {
		a.remove(ctx, want, have)
	}
	if a.changed {
		if have, err = dev.List(ctx); err != nil {
			a.errs = append(a.errs, fmt.Errorf("list interfaces: %w", err))
		}
	}
	return have, errors.Join(a.errs...)
}

// applier is the state of one call of Apply.
type applier struct {
	dev     Device
	key     PrivateKey
	prune   bool // remove other interfaces and peers
	errs    []error
	changed bool // something was changed since the last List
}

// create creates the missing interfaces and reports whether there were any.
func (a *applier) create(ctx context.Context, want []Config, have []Observed) (tried bool) {
	for _, w := range sorted(want) {
		if find(have, w.Name) >= 0 {
			continue
		}
		tried = true
		if err := a.dev.Create(ctx, w.Name, w.MTU); err != nil {
			a.errs = append(a.errs, fmt.Errorf("create %s: %w", w.Name, err))
		}
	}
	return tried
}

func (a *applier) configure(ctx context.Context, want []Config, have []Observed) {
	for _, w := range sorted(want) {
		i := find(have, w.Name)
		if i < 0 {
			continue // create has recorded the error
		}
		if err := have[i].Err; err != nil {
			a.errs = append(a.errs, fmt.Errorf("read %s: %w", w.Name, err))
			continue
		}
		change := Diff(w, have[i], a.key)
		if !a.prune {
			change.RemovePeers = nil
		}
		if change.Empty() {
			continue
		}
		a.changed = true
		if err := a.dev.Configure(ctx, change); err != nil {
			a.errs = append(a.errs, fmt.Errorf("configure %s: %w", w.Name, err))
		}
	}
}

func (a *applier) remove(ctx context.Context, want []Config, have []Observed) {
	for _, h := range have {
		if slices.ContainsFunc(want, func(w Config) bool { return w.Name == h.Name }) {
			continue
		}
		a.changed = true
		if err := a.dev.Remove(ctx, h.Name); err != nil {
			a.errs = append(a.errs, fmt.Errorf("remove %s: %w", h.Name, err))
		}
	}
}

func sorted(want []Config) []Config {
	return slices.SortedFunc(slices.Values(want), func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
}

func find(have []Observed, name string) int {
	return slices.IndexFunc(have, func(o Observed) bool { return o.Name == name })
}
