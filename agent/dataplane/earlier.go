package dataplane

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// maxEarlier bounds the ranges that are remembered.
const maxEarlier = 4096

// earlier remembers which ranges the rules of other programs led elsewhere before another
// datacenter announced them. Those stay local; a route that is added to an announced range
// afterwards takes nothing away from it. It is a value: next returns the one of the next pass.
type earlier struct {
	records []catalog.Datacenter // of the pass before
	claimed []netip.Prefix       // what other datacenters announce, or did lately, in the pass before; aggregated
	final   bool                 // claimed is what records announce
	ranges  []netip.Prefix       // sorted
	loaded  bool
}

// next returns what is remembered for the next pass, of the policy routes of this one. Until
// the catalog is complete, nothing counts as announced no more.
func (e earlier) next(own catalog.DatacenterName, records []catalog.Datacenter, withdrawn []plan.Withdrawn, policy []routes.HostRoute, synced bool) earlier {
	after := earlier{records: records, claimed: e.claimed, final: synced && len(withdrawn) == 0, loaded: e.loaded}
	if !e.final || !after.final || !slices.EqualFunc(e.records, records, samePrefixes) {
		after.claimed = claims(own, records, withdrawn)
		if !synced {
			after.claimed = prefixset.Union(e.claimed, after.claimed)
		}
	}
	for _, p := range e.ranges {
		if prefixset.CoveredBy(after.claimed, p) {
			after.ranges = append(after.ranges, p)
		}
	}
	for _, r := range policy {
		if len(after.ranges) < maxEarlier && prefixset.CoveredBy(after.claimed, r.Prefix) && !prefixset.CoveredBy(e.claimed, r.Prefix) {
			after.ranges = append(after.ranges, r.Prefix)
		}
	}
	slices.SortFunc(after.ranges, netip.Prefix.Compare)
	after.ranges = slices.Compact(after.ranges)
	return after
}

// claims returns what other datacenters announce, or did lately, aggregated.
func claims(own catalog.DatacenterName, records []catalog.Datacenter, withdrawn []plan.Withdrawn) []netip.Prefix {
	var out []netip.Prefix
	for _, dc := range records {
		for _, p := range dc.Prefixes {
			if dc.Name != own {
				out = append(out, p.CIDR)
			}
		}
	}
	for _, w := range withdrawn {
		out = append(out, w.Prefix.CIDR)
	}
	return prefixset.Aggregate(out)
}

// of returns the routes to the ranges that are remembered.
func (e earlier) of(policy []routes.HostRoute) []routes.HostRoute {
	var out []routes.HostRoute
	for _, r := range policy {
		if _, known := slices.BinarySearchFunc(e.ranges, r.Prefix, netip.Prefix.Compare); known {
			out = append(out, r)
		}
	}
	return out
}

// earlier returns what is remembered for the next pass, and stores it. In the first pass of
// a process, what is in Meshway's table was announced before.
func (k Kernel) earlier(ctx context.Context, before earlier, table int, next func(earlier) earlier) (earlier, error) {
	var failed error
	if !before.loaded {
		before.loaded = true
		if k.Earlier != nil {
			before.ranges, _, failed = k.Earlier.Load()
		}
		observed, err := k.Routes.Observe(ctx, table)
		if err != nil {
			return earlier{}, err // it is not known yet
		}
		for _, r := range observed.Routes {
			if r.Kind != routes.Throw && !r.ToNode {
				before.claimed = append(before.claimed, r.Prefix)
			}
		}
		before.claimed = prefixset.Aggregate(before.claimed)
	}
	after := next(before)
	if k.Earlier == nil || slices.Equal(before.ranges, after.ranges) {
		return after, failed
	}
	return after, errors.Join(failed, k.Earlier.Save(after.ranges))
}
