package dataplane

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// earlier returns what is remembered for the next pass, and stores it. In the first pass of
// a process, what is in Meshway's table was announced before.
func (k Kernel) earlier(ctx context.Context, before plan.Earlier, table int, next func(plan.Earlier) plan.Earlier) (plan.Earlier, error) {
	var failed error
	if !before.Known() {
		var ranges, routed []netip.Prefix
		if k.Earlier != nil {
			ranges, _, failed = k.Earlier.Load()
		}
		observed, err := k.Routes.Observe(ctx, table)
		if err != nil {
			return plan.Earlier{}, err // it is not known yet
		}
		for _, r := range observed.Routes {
			if r.Kind != routes.Throw && !r.ToNode {
				routed = append(routed, r.Prefix)
			}
		}
		before = plan.NewEarlier(ranges, routed)
	}
	after := next(before)
	if k.Earlier == nil || slices.Equal(before.Ranges(), after.Ranges()) {
		return after, failed
	}
	return after, errors.Join(failed, k.Earlier.Save(after.Ranges()))
}
