package dataplane

import (
	"context"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// observePaths looks up the routes of packets to other datacenters in the kernel,
// and adds a problem for each that does not take Meshway's. A lookup fails if there is
// no route, which a rule may have caused, or if a device has just gone.
func (o *outcome) observePaths(ctx context.Context, kernel routes.Kernel, paths interference.Paths) {
	paths.Observed = o.routes
	o.lookUp(ctx, kernel, paths, paths.Queries())
	o.problems = append(o.problems, paths.NotForwarded()...)
	for _, problem := range paths.NotLookedUp() {
		if !slices.ContainsFunc(o.problems, func(known plan.Problem) bool { return known.Code == problem.Code && known.Remedy == problem.Remedy }) {
			o.problems = append(o.problems, problem)
		}
	}
}

// lookUp adds a problem for each packet that does not take a route of Meshway.
func (o *outcome) lookUp(ctx context.Context, kernel routes.Kernel, paths interference.Paths, queries []interference.PathQuery) {
	for _, q := range queries {
		found, err := kernel.Lookup(ctx, q.Query)
		if err != nil {
			found = routes.Lookup{}
		}
		if problem, diverted := paths.Problem(q, found); diverted && !o.has(problem) {
			o.problems = append(o.problems, problem)
		}
	}
}

// has reports whether a problem is known, or one with the same cause that needs no mark.
func (o *outcome) has(problem plan.Problem) bool {
	return slices.ContainsFunc(o.problems, func(known plan.Problem) bool {
		marked := known.Code == problem.Code && known.Subject == problem.Subject && strings.HasPrefix(problem.Remedy, known.Remedy+", or run nft delete")
		return known == problem || marked
	})
}

// lanes returns the devices of the lanes.
func lanes(fw routes.Firewall) []string {
	var out []string
	for _, l := range fw.Lanes {
		out = append(out, l.Device)
	}
	return out
}
