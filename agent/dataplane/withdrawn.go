package dataplane

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// maxWithdrawn bounds the prefixes of one datacenter that are guarded for that time: as
// many as it may announce (quota.Limits).
const maxWithdrawn = 4096

// withdrawals remembers which prefixes the other datacenters announced lately. It is a
// value: next returns the one of the next pass.
type withdrawals struct {
	records []catalog.Datacenter // of all datacenters, in the pass before
	list    []plan.Withdrawn
	loaded  bool
}

// next returns the withdrawals after the records of all datacenters were read. A prefix
// that a datacenter announces, also the own one, is not withdrawn.
func (w withdrawals) next(now time.Time, own catalog.DatacenterName, records []catalog.Datacenter) withdrawals {
	now = now.Round(0).UTC() // as it is stored
	after := withdrawals{records: records, loaded: w.loaded}
	if len(w.list) == 0 && slices.EqualFunc(w.records, records, samePrefixes) {
		return after
	}
	announced := map[netip.Prefix]bool{}
	for _, dc := range records {
		for _, p := range dc.Prefixes {
			announced[p.CIDR] = true
		}
	}
	var gone []plan.Withdrawn
	for _, dc := range w.records {
		for _, p := range dc.Prefixes {
			if dc.Name != own && !announced[p.CIDR] {
				gone = append(gone, plan.Withdrawn{Datacenter: dc.Name, Prefix: p, At: now})
			}
		}
	}
	count := map[catalog.DatacenterName]int{}
	for _, p := range slices.Concat(gone, w.list) { // the newest ones first
		if p.At.After(now) {
			p.At = now // the clock was ahead
		}
		if announced[p.Prefix.CIDR] || now.Sub(p.At) >= plan.GuardTime || count[p.Datacenter] >= maxWithdrawn {
			continue
		}
		count[p.Datacenter]++
		after.list = append(after.list, p)
	}
	return after
}

func samePrefixes(a, b catalog.Datacenter) bool {
	return a.Name == b.Name && slices.Equal(a.Prefixes, b.Prefixes)
}

// withdrawals returns those of the next pass, and stores them before the data plane is
// what follows from them.
func (k Kernel) withdrawals(before withdrawals, now time.Time, own catalog.DatacenterName, records []catalog.Datacenter) (withdrawals, error) {
	var failed error
	if k.Withdrawn != nil && !before.loaded {
		before.list, _, failed = k.Withdrawn.Load()
		before.loaded = true
	}
	after := before.next(now, own, records)
	if k.Withdrawn == nil || slices.Equal(before.list, after.list) {
		return after, failed
	}
	return after, errors.Join(failed, k.Withdrawn.Save(after.list))
}
