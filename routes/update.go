package routes

import (
	"context"
	"slices"
)

// Update is Apply without a look at the kernel: it writes the difference to what the
// last call left there, so that a change costs what it changes. The caller learns of
// changes by other programs from Kernel.Watch, and calls Apply then and from time to
// time. If what is in the kernel is not known for certain, Update calls Apply.
func (a *Applier) Update(ctx context.Context, want Config, prune bool) (Observed, error) {
	if observed, ok := a.update(ctx, want, prune); ok {
		return observed, nil
	}
	return a.Apply(ctx, want, prune)
}

// update reports false if the state has to be observed, before or after a write.
func (a *Applier) update(ctx context.Context, want Config, prune bool) (Observed, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || !prune || want.Table != a.last.Table {
		return Observed{}, false
	}
	want = a.newest(want)
	change := Diff(want, a.last, prune)
	if len(change.Conflicts) > 0 || len(change.Sysctls) > 0 {
		return Observed{}, false
	}
	if change.Empty() {
		return a.last, true
	}
	a.log(ctx, change, 0)
	if err := a.apply(ctx, want, change); err != nil {
		a.known = false
		return Observed{}, false // Apply reports what still fails
	}
	want.Groups, want.Sysctls = a.last.Groups, a.last.Sysctls
	a.last.Config, a.regrouped = want, nil
	return a.last, true
}

// Regroup writes the groups that Groups returns for the configuration whose groups were
// written last. It waits neither for a look at the kernel nor for the writing of routes,
// so that losing a gateway takes one message and no more time.
func (a *Applier) Regroup(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Groups == nil || a.last.Table == 0 {
		return nil
	}
	changed := delta(a.Groups(a.last.Config), a.last.Groups, false, compareGroups, sameGroup).Replace
	if len(changed) == 0 {
		return nil
	}
	change := Change{Table: a.last.Table, Groups: Delta[Group]{Replace: changed}}
	a.log(ctx, change, 0)
	if err := a.Kernel.Apply(ctx, change); err != nil {
		a.known = false
		return err
	}
	a.regrouped = append(a.regrouped, changed...)
	a.last = withGroups(a.last, changed)
	return nil
}

// newest returns want with the groups as they should be now; a.mu is held. It is called
// right before a write, so that no write is older than one of Regroup.
func (a *Applier) newest(want Config) Config {
	if a.Groups != nil {
		want.Groups = a.Groups(want)
	}
	return want
}

// withGroups returns what was observed with groups that were written since.
func withGroups(o Observed, written []Group) Observed {
	if len(written) == 0 {
		return o
	}
	o.Groups = slices.Clone(o.Groups)
	for _, g := range written {
		if i, ok := slices.BinarySearchFunc(o.Groups, g, compareGroups); ok {
			o.Groups[i] = g
		}
	}
	return o
}
