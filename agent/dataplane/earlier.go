package dataplane

import (
	"context"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// loadEarlier returns before, or in the first pass of a process what a former one stored:
// what is in Meshway's table was announced before. It is not known after an error of the
// kernel, and read again in the next pass.
func (k Kernel) loadEarlier(ctx context.Context, before plan.Earlier, table int) (plan.Earlier, error) {
	if before.Known() {
		return before, nil
	}
	observed, err := k.Routes.Observe(ctx, table)
	if err != nil {
		return before, err
	}
	var ranges, routed []netip.Prefix
	if k.Earlier != nil {
		ranges, _, err = k.Earlier.Load()
	}
	for _, r := range observed.Routes {
		if r.Kind != routes.Throw && !r.ToNode {
			routed = append(routed, r.Prefix)
		}
	}
	return plan.NewEarlier(ranges, routed), err
}

// saveEarlier stores the ranges of a pass if they differ from those before it.
func (k Kernel) saveEarlier(before, after plan.Earlier) error {
	if k.Earlier == nil || slices.Equal(before.Ranges(), after.Ranges()) {
		return nil
	}
	return k.Earlier.Save(after.Ranges())
}
