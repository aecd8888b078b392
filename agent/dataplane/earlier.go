package dataplane

import (
	"context"
	"net/netip"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// earlier is the ranges that other programs led elsewhere before a datacenter announced
// them.
type earlier struct {
	plan.Earlier

	stored plan.EarlierRecord // as the store has it
}

// load reads in the first pass of a process what a former one stored: what is in Meshway's
// table was announced before. After an error the next pass reads it.
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
		if e.stored, _, err = k.Earlier.Load(); err != nil {
			return err // and nothing is stored over it
		}
	}
	for _, r := range observed.Routes {
		if r.Kind != routes.Throw && !r.ToNode {
			routed = append(routed, r.Prefix)
		}
	}
	e.Earlier = plan.NewEarlier(e.stored, routed)
	return nil
}

// save stores the record if it differs from the stored one. A nil store has none.
func (e *earlier) save(store Store[plan.EarlierRecord]) error {
	record := e.Record()
	if store == nil || !e.Known() || record.Equal(e.stored) {
		return nil
	}
	if err := store.Save(record); err != nil {
		return err // the next pass tries again
	}
	e.stored = record
	return nil
}
