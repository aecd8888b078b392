package quorum

import (
	"maps"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
)

// forgetPaid deletes what was paid for longer ago than clocks may differ, so that nothing
// is kept of each datacenter that was a member; r.mu is held.
func (r *Requests) forgetPaid(requests map[payment]time.Time, at time.Time) {
	maps.DeleteFunc(requests, func(_ payment, until time.Time) bool { return at.Sub(until) > 2*catalog.MaxClockSkew })
}

// forgetFirst deletes the requests that wait no longer for a second one; r.mu is held.
func (r *Requests) forgetFirst(now time.Time) {
	maps.DeleteFunc(r.first, func(_ catalog.DatacenterName, first removalRequest) bool {
		return now.Sub(first.at) >= budget.ConfirmationTime
	})
}

// forgetFormer deletes the counts of all datacenters that are no longer members when there
// are too many of these; r.mu is held.
func (r *Requests) forgetFormer(view Catalog) {
	present, former := map[catalog.DatacenterName]bool{}, map[catalog.DatacenterName]bool{}
	for _, dc := range view.Datacenters() {
		present[dc.Name] = true
	}
	for key := range r.refused {
		if dc := key.author.Datacenter(); !present[dc] {
			former[dc] = true
		}
	}
	if len(former) <= maxFormer {
		return
	}
	maps.DeleteFunc(r.refused, func(key refusedKey, _ uint64) bool { return former[key.author.Datacenter()] })
}
