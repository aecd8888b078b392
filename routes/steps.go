package routes

import (
	"context"
	"errors"
)

// apply writes a change, after which the kernel has want. a.mu is held, except while routes and rules
// are written: 100 000 of them take half a second, for which no verdict waits.
func (a *Applier) apply(ctx context.Context, want Config, c Change) error {
	first, paths, last := c.steps()
	err := a.step(ctx, first)
	if err == nil && len(c.Conflicts) == 0 {
		// Regroup compares with what the kernel has from now on.
		a.last.Table, a.last.Nexthops, a.last.Groups = want.Table, want.Nexthops, want.Groups
	}
	func() {
		a.mu.Unlock()
		defer a.mu.Lock()
		err = errors.Join(err, a.step(ctx, paths))
	}()
	last.Refresh = newer(last.Refresh, a.last.Groups)
	return errors.Join(err, a.step(ctx, last))
}

func (a *Applier) step(ctx context.Context, c Change) error {
	if c.Empty() {
		return nil
	}
	return a.Kernel.Apply(ctx, c)
}

// steps divides a change into three, which are applied one after the other: what the
// new routes need, the routes and rules, and what the former routes needed.
func (c Change) steps() (first, paths, last Change) {
	first = Change{
		Table: c.Table, Sysctls: c.Sysctls,
		Nexthops: Delta[Nexthop]{Add: c.Nexthops.Add, Replace: c.Nexthops.Replace},
		Groups:   Delta[Group]{Add: c.Groups.Add, Replace: c.Groups.Replace},
	}
	paths = Change{Table: c.Table, Routes: c.Routes, Rules: c.Rules}
	last = Change{
		Table: c.Table, Refresh: c.Refresh, Restore: c.Restore,
		Nexthops: Delta[Nexthop]{Delete: c.Nexthops.Delete},
		Groups:   Delta[Group]{Delete: c.Groups.Delete},
	}
	return first, paths, last
}

// newer returns groups as they are in a sorted list, if they are in it.
func newer(groups, list []Group) []Group {
	return withGroups(Observed{Config: Config{Groups: groups}}, list).Groups
}
