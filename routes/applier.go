package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
)

// Applier applies Configs to a Kernel. It keeps what it last observed, to
// distinguish repairs from new configurations. Only Regroup may be called while
// another method runs.
type Applier struct {
	Kernel Kernel
	Log    *slog.Logger // nil: discard
	// Groups returns the groups of a configuration as they should be now, because
	// their members change faster than other entries. All members must be nexthops
	// of the configuration. Nil: the groups are as they should be.
	Groups func(Config) []Group

	repaired uint64
	failed   []Change // by the last Apply; they have been logged and are tried again

	mu        sync.Mutex // held while groups are written; guards all following
	last      Observed   // at the end of the last call; the nexthops and groups are newer while routes are written
	known     bool       // the kernel has what is in last, unless another program has changed it
	regrouped []Group    // since the kernel was last observed
}

// Apply changes the kernel's state to want and returns the state as observed
// afterwards, even after a failure. It deletes only if prune is set. If nothing
// differs it writes nothing. The returned error joins the errors of all entries.
func (a *Applier) Apply(ctx context.Context, want Config, prune bool) (Observed, error) {
	logged := a.failed
	a.failed = nil
	have, err := a.observe(ctx, want)
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.known = false
		return Observed{Repaired: a.repaired}, err
	}
	change, applied := a.change(ctx, want, have, prune, logged)
	conflicts := conflictErrors(change)
	if change.Empty() {
		return a.record(have, conflicts == nil && prune), conflicts
	}
	after, err := a.observe(ctx, want)
	if err != nil {
		// The state before the change is the last one observed.
		return a.record(have, false), errors.Join(conflicts, applied, err)
	}
	if applied != nil {
		after, err = a.applyFallback(ctx, want, after, logged)
	}
	err = errors.Join(conflicts, applied, err)
	return a.record(after, err == nil && prune), err
}

// change writes what turns have into want.
func (a *Applier) change(ctx context.Context, want Config, have Observed, prune bool, logged []Change) (Change, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	want = a.newest(want)
	change := Diff(want, withGroups(have, a.regrouped), prune)
	if change.Empty() {
		return change, nil
	}
	repairs := countRepairs(change, a.last.Config)
	applied := a.write(ctx, want, change, repairs, logged)
	if applied == nil {
		a.repaired += repairs
	}
	return change, applied
}

// applyFallback ensures that every prefix has a route after a failed write, at
// least to the blackhole.
func (a *Applier) applyFallback(ctx context.Context, want Config, have Observed, logged []Change) (Observed, error) {
	entries := fallback(want, have)
	change := Diff(entries, have, false)
	if change.Empty() {
		return have, nil
	}
	a.mu.Lock()
	applied := a.write(ctx, a.last.Config, change, 0, logged)
	a.mu.Unlock()
	after, err := a.observe(ctx, want)
	if err != nil {
		return have, errors.Join(applied, err)
	}
	return after, applied
}

// write applies a change. It does not log a change that has failed the last
// time, because that may be repeated every second for hours.
func (a *Applier) write(ctx context.Context, want Config, c Change, repairs uint64, logged []Change) error {
	if !slices.ContainsFunc(logged, func(l Change) bool { return reflect.DeepEqual(l, c) }) {
		a.log(ctx, c, repairs)
	}
	err := a.apply(ctx, want, c)
	if err != nil {
		a.failed = append(a.failed, c)
	}
	return err
}

// record keeps what was observed. It is known if an Update may begin with it.
func (a *Applier) record(o Observed, known bool) Observed {
	a.mu.Lock()
	defer a.mu.Unlock()
	o = withGroups(o, a.regrouped)
	o.Repaired = a.repaired
	a.last, a.known = o, known
	return o
}

// observe reads the state. What Regroup writes meanwhile may be missing in it.
func (a *Applier) observe(ctx context.Context, want Config) (Observed, error) {
	a.mu.Lock()
	a.regrouped = nil
	a.mu.Unlock()
	return observe(ctx, a.Kernel, want)
}

// log logs a change: the entries if they are few, else only their number.
func (a *Applier) log(ctx context.Context, c Change, repairs uint64) {
	if a.Log == nil {
		return
	}
	attrs := []slog.Attr{slog.Int("writes", c.Len()), slog.Uint64("repairs", repairs)}
	const short = 20
	if c.Len() <= short {
		attrs = append(attrs, slog.String("change", c.String()))
	}
	a.Log.LogAttrs(ctx, slog.LevelInfo, "changing routes", attrs...)
}

// conflictErrors joins the conflicts. Only the first few are included, because
// all routes may depend on one nexthop.
func conflictErrors(c Change) error {
	const few = 20
	var errs []error
	for _, conflict := range c.Conflicts[:min(few, len(c.Conflicts))] {
		errs = append(errs, conflict)
	}
	if more := len(c.Conflicts) - few; more > 0 {
		errs = append(errs, fmt.Errorf("and %d more conflicts", more))
	}
	return errors.Join(errs...)
}

// Remove deletes all of Meshway's entries and restores recorded sysctls that
// still have Meshway's value. It returns what is left.
func Remove(ctx context.Context, k Kernel, table int) (Observed, error) {
	have, err := k.Observe(ctx, table)
	if err != nil {
		return Observed{}, fmt.Errorf("observe routes: %w", err)
	}
	change := Diff(Config{Table: table}, have, true)
	change.Restore = true
	applied := k.Apply(ctx, change)
	after, err := k.Observe(ctx, table)
	if err != nil {
		return have, errors.Join(applied, fmt.Errorf("observe routes: %w", err))
	}
	return after, applied
}

// observe reads the state, including the sysctls in want.
func observe(ctx context.Context, k Kernel, want Config) (Observed, error) {
	have, err := k.Observe(ctx, want.Table)
	if err != nil {
		return Observed{}, fmt.Errorf("observe routes: %w", err)
	}
	if len(want.Sysctls) == 0 {
		return have, nil
	}
	keys := make([]string, len(want.Sysctls))
	for i, s := range want.Sysctls {
		keys[i] = s.Key
	}
	have.Sysctls, err = k.Sysctls(ctx, keys)
	if err != nil {
		return Observed{}, fmt.Errorf("observe sysctls: %w", err)
	}
	return have, nil
}
