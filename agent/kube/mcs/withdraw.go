package mcs

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Grace is how long a datacenter may be unreachable before its endpoints are
// left out: longer than a gateway takes to restart.
const Grace = 10 * time.Second

// Outage is which of the other datacenters cannot be used now, each list sorted.
type Outage struct {
	// Withdrawn are left out of all services.
	Withdrawn []catalog.DatacenterName
	// Doubtful are left out of services that local endpoints can do without them:
	// no other datacenter is reachable, so it may be this one that is cut off.
	Doubtful []catalog.DatacenterName
}

// Equal says whether o and other are the same.
func (o Outage) Equal(other Outage) bool {
	return slices.Equal(o.Withdrawn, other.Withdrawn) && slices.Equal(o.Doubtful, other.Doubtful)
}

// Judge says which of the other datacenters cannot be used: those that have been
// unreachable, on the data plane's word, for longer than Grace. When all others
// look unreachable it is we who are cut off: who was withdrawn before stays so, and
// nobody else is, but what can be had here no longer depends on them.
func Judge(now time.Time, others []catalog.DatacenterName, unreachable map[catalog.DatacenterName]time.Time, before Outage) Outage {
	var out Outage
	reachable := false
	for _, dc := range slices.Sorted(slices.Values(others)) {
		since, down := unreachable[dc]
		reachable = reachable || !down
		if down && now.Sub(since) >= Grace {
			out.Withdrawn = append(out.Withdrawn, dc)
		}
	}
	if reachable {
		return out
	}
	gone := func(dc catalog.DatacenterName) bool { return !slices.Contains(others, dc) }
	withdrawn := func(dc catalog.DatacenterName) bool { return slices.Contains(before.Withdrawn, dc) }
	return Outage{
		Withdrawn: slices.DeleteFunc(slices.Clone(before.Withdrawn), gone),
		Doubtful:  slices.DeleteFunc(out.Withdrawn, withdrawn),
	}
}
