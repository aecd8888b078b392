package dataplane

import (
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
	stored  []plan.Withdrawn // list, as the store has it
	loaded  bool
}

// next returns the withdrawals after the records of all datacenters were read. A prefix
// that a datacenter announces, also the own one, is not withdrawn.
func (w withdrawals) next(now time.Time, own catalog.DatacenterName, records []catalog.Datacenter) withdrawals {
	now = now.Round(0).UTC() // as it is stored
	after := withdrawals{records: records, stored: w.stored, loaded: w.loaded}
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

// load reads in the first pass what an earlier agent stored. A nil store has nothing.
func (w *withdrawals) load(store Store[[]plan.Withdrawn]) error {
	if w.loaded || store == nil {
		return nil
	}
	list, _, err := store.Load()
	*w = withdrawals{records: w.records, list: list, stored: list, loaded: true}
	return err
}

// save stores the list if it differs from the stored one. A pass calls it before it
// applies what follows from the list.
func (w *withdrawals) save(store Store[[]plan.Withdrawn]) error {
	if store == nil || slices.Equal(w.list, w.stored) {
		return nil
	}
	if err := store.Save(w.list); err != nil {
		return err // the next pass tries again
	}
	w.stored = w.list
	return nil
}
