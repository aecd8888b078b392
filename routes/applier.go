package routes

import (
	"context"
	"errors"
	"log/slog"
)

// Applier is Apply with a memory of what it last saw, by which it tells a
// repair from a new wish. It is for one goroutine at a time.
type Applier struct {
	Kernel Kernel
	Log    *slog.Logger // nil: silent

	last     Config // what was there after the last Apply
	repaired uint64
}

// Apply does what the function Apply does, and counts Observed.Repaired.
func (a *Applier) Apply(ctx context.Context, want Config, prune bool) (Observed, error) {
	have, err := observe(ctx, a.Kernel, want)
	if err != nil {
		return Observed{Repaired: a.repaired}, err
	}
	change := Diff(want, have, prune)
	conflicts := conflictErrors(change)
	if change.Empty() {
		return a.seen(have), conflicts
	}
	repairs := countRepairs(change, a.last)
	a.log(ctx, change, repairs)
	applied := a.Kernel.Apply(ctx, change)
	if applied == nil {
		a.repaired += repairs
	}
	after, err := observe(ctx, a.Kernel, want)
	if err != nil {
		// The best that is known is what was there before.
		return a.seen(have), errors.Join(conflicts, applied, err)
	}
	return a.seen(after), errors.Join(conflicts, applied)
}

func (a *Applier) seen(o Observed) Observed {
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

func conflictErrors(c Change) error {
	errs := make([]error, len(c.Conflicts))
	for i, conflict := range c.Conflicts {
		errs[i] = conflict
	}
	return errors.Join(errs...)
}
