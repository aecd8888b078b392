package mcs

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Grace is how long a datacenter may be unreachable before its endpoints are
// withdrawn. It is longer than the restart of a gateway takes.
const Grace = 10 * time.Second

// Outage lists the other datacenters that cannot be used. Both lists are sorted.
type Outage struct {
	// The endpoints of Withdrawn are removed from all services.
	Withdrawn []catalog.DatacenterName
	// The endpoints of Doubtful are removed from services that have local endpoints
	// for the same ports. No other datacenter is reachable, so this one may be the
	// one that is cut off.
	Doubtful []catalog.DatacenterName
}

// Equal reports whether o and other are the same.
func (o Outage) Equal(other Outage) bool {
	return slices.Equal(o.Withdrawn, other.Withdrawn) && slices.Equal(o.Doubtful, other.Doubtful)
}

// FindOutage returns the outage at now. unreachable maps each datacenter that the data
// plane does not reach to the time since when; before is the previous result.
//
// A datacenter is withdrawn once it is unreachable for Grace. If all others are
// unreachable, this datacenter is considered cut off: those withdrawn before stay
// withdrawn, and the rest becomes doubtful after Grace.
func FindOutage(now time.Time, others []catalog.DatacenterName, unreachable map[catalog.DatacenterName]time.Time, before Outage) Outage {
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
