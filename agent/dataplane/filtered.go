package dataplane

import (
	"context"
	"fmt"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
)

// observeFilters adds a problem for each rule of another program that drops packets
// of Meshway, or marks them so that they do not take its routes. Rules that cannot be read
// do not keep a pass from succeeding.
func (o *outcome) observeFilters(ctx context.Context, kernel Kernel, filters interference.Filters) {
	filters.Observed = o.routes
	var err error
	if filters.Others, err = kernel.Firewall.Others(ctx); err != nil {
		o.problems = append(o.problems, plan.Problem{
			Code:     "filters-unknown",
			Severity: plan.Warning,
			Subject:  "this host",
			Message:  fmt.Sprintf("this host's nftables rules cannot be read, so that rules which drop packets of Meshway are not reported: %v", err),
			Remedy:   "run nft list chains, and correct what keeps it from working",
		})
		return
	}
	o.stale = filters.Others.Stale
	if filters.Others.Unread != "" {
		o.problems = append(o.problems, plan.Problem{
			Code:     "legacy-filters-unknown",
			Severity: plan.Warning,
			Subject:  "this host",
			Message:  "this host's rules of iptables-legacy cannot be read, so that those which drop packets of Meshway are not reported: " + filters.Others.Unread,
			Remedy: "install iptables-legacy-save and ip6tables-legacy-save (package iptables) where the agent runs, " +
				"or run iptables-legacy -S and ip6tables-legacy -S on the host to check the rules",
		})
	}
	o.problems = append(o.problems, filters.Problems()...)
	o.lookUp(ctx, kernel.Routes, filters.Paths, filters.MarkedQueries())
	o.problems = append(o.problems, filters.UnknownMarks()...)
	o.problems = append(o.problems, filters.IPsec()...)
}
