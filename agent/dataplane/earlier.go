package dataplane

import (
	"context"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// earlier is the ranges that other programs led elsewhere before a datacenter announced
// them.
type earlier struct {
	plan.Earlier

	stored []netip.Prefix // its ranges, as the store has them
}

// load reads in the first pass of a process what a former one stored: what is in Meshway's
// table was announced before. After an error of the kernel the next pass reads it.
func (e *earlier) load(ctx context.Context, k Kernel, table int) error {
	if e.Known() {
		return nil
	}
	observed, err := k.Routes.Observe(ctx, table)
	if err != nil {
		return err
	}
	var routed []netip.Prefix
	if k.Earlier != nil {
		e.stored, _, err = k.Earlier.Load()
	}
	for _, r := range observed.Routes {
		if r.Kind != routes.Throw && !r.ToNode {
			routed = append(routed, r.Prefix)
		}
	}
	e.Earlier = plan.NewEarlier(e.stored, routed)
	return err
}

// save stores the ranges if they differ from the stored ones. A nil store has none.
func (e *earlier) save(store Store[[]netip.Prefix]) error {
	if store == nil || slices.Equal(e.Ranges(), e.stored) {
		return nil
	}
	if err := store.Save(e.Ranges()); err != nil {
		return err // the next pass tries again
	}
	e.stored = e.Ranges()
	return nil
}
