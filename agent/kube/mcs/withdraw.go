package mcs

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Grace is how long a datacenter may be unreachable before its endpoints are
// left out: longer than a gateway takes to restart.
const Grace = 10 * time.Second

// Withdrawn says which of the other datacenters are left out now: those that have
// been unreachable, on the data plane's word, for longer than Grace. When all
// others look unreachable it is we who are cut off: everything stays as it was
// before. Wait is when to ask again if nothing changes; 0: not needed.
func Withdrawn(now time.Time, others []catalog.DatacenterName, unreachable map[catalog.DatacenterName]time.Time,
	before []catalog.DatacenterName,
) (withdrawn []catalog.DatacenterName, wait time.Duration) {
	reachable := 0
	for _, dc := range slices.Sorted(slices.Values(others)) {
		since, down := unreachable[dc]
		left := Grace - now.Sub(since)
		switch {
		case !down:
			reachable++
		case left <= 0:
			withdrawn = append(withdrawn, dc)
		case wait == 0 || left < wait:
			wait = left
		}
	}
	if reachable == 0 {
		return slices.DeleteFunc(slices.Clone(before), func(dc catalog.DatacenterName) bool {
			return !slices.Contains(others, dc)
		}), 0
	}
	return withdrawn, wait
}
