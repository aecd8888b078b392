package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
)

// Applier is Apply with a memory of what it last saw, by which it tells a
// repair from a new wish. It is for one goroutine at a time.
type Applier struct {
	Kernel Kernel
	Log    *slog.Logger // nil: silent

	last     Config // what was there after the last Apply
	repaired uint64
	failed   []Change // of the last Apply: they have been logged, and are tried again
}

// Apply does what the function Apply does, and counts Observed.Repaired.
func (a *Applier) Apply(ctx context.Context, want Config, prune bool) (Observed, error) {
	told := a.failed
	a.failed = nil
	have, err := observe(ctx, a.Kernel, want)
	if err != nil {
		return Observed{Repaired: a.repaired}, err
	}
	change := Diff(want, have, prune)
	conflicts := conflictErrors(change)
	if change.Empty() {
		return a.record(have), conflicts
	}
	repairs := countRepairs(change, a.last)
	applied := a.write(ctx, change, repairs, told)
	if applied == nil {
		a.repaired += repairs
	}
	after, err := observe(ctx, a.Kernel, want)
	if err != nil {
		// The best that is known is what was there before.
		return a.record(have), errors.Join(conflicts, applied, err)
	}
	if applied != nil {
		after, err = a.applyFallback(ctx, want, after, told)
	}
	return a.record(after), errors.Join(conflicts, applied, err)
}

// applyFallback sees to it that after a failure, too, there is a route to every
// prefix, if only one that drops.
func (a *Applier) applyFallback(ctx context.Context, want Config, have Observed, told []Change) (Observed, error) {
	change := Diff(fallback(want, have), have, false)
	if change.Empty() {
		return have, nil
	}
	applied := a.write(ctx, change, 0, told)
	after, err := observe(ctx, a.Kernel, want)
	if err != nil {
		return have, errors.Join(applied, err)
	}
	return after, applied
}

// write carries a change out. One that failed the last time is tried again
// without a word: it may be so every second for hours.
func (a *Applier) write(ctx context.Context, c Change, repairs uint64, told []Change) error {
	if !slices.ContainsFunc(told, func(t Change) bool { return reflect.DeepEqual(t, c) }) {
		a.log(ctx, c, repairs)
	}
	err := a.Kernel.Apply(ctx, c)
	if err != nil {
		a.failed = append(a.failed, c)
	}
	return err
}

func (a *Applier) record(o Observed) Observed {
	a.last = o.Config
	o.Repaired = a.repaired
	return o
}

// log says what changes: all of it when it is short, else how much.
func (a *Applier) log(ctx context.Context, c Change, repairs uint64) {
	if a.Log == nil {
		return
	}
	attrs := []slog.Attr{slog.Int("writes", c.Len()), slog.Uint64("repairs", repairs)}
	const short = 20
	if c.Len() <= short {
		attrs = append(attrs, slog.String("change", c.String()))
	}
	a.Log.LogAttrs(ctx, slog.LevelInfo, "routes change", attrs...)
}

// conflictErrors joins the conflicts, of which it names the first few only: all
// routes may depend on one nexthop.
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
