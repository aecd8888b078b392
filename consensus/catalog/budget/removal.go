package budget

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// ConfirmationTime is how long the first request to remove a datacenter that is alive
// waits for the second.
const ConfirmationTime = 10 * time.Minute

// repeatTime is how long a repeated request changes nothing, so that a datacenter that
// repeats one writes nothing.
const repeatTime = time.Minute

// Requested returns which datacenter has requested the removal of another one lately, as
// the catalog has it; empty: none.
func Requested(s catalog.Settings, of catalog.DatacenterName, now time.Time) catalog.DatacenterName {
	for _, r := range s.Removals {
		if r.Datacenter == of && waits(r, now) {
			return r.By
		}
	}
	return ""
}

// waits reports whether a request waits for another one. Its time is that of the leader
// that wrote it, whose clock may be ahead.
func waits(r catalog.RemovalRequest, now time.Time) bool {
	age := now.Sub(r.At)
	return age < ConfirmationTime && -age <= catalog.MaxClockSkew
}

// Request returns s after a request of a datacenter to remove another one, at the time of
// its command. The one of another datacenter that waits stays: the next request, by
// whichever of both, confirms it. It drops those that wait no longer.
func Request(s catalog.Settings, of, by catalog.DatacenterName, at time.Time) catalog.Settings {
	s.Removals = slices.DeleteFunc(slices.Clone(s.Removals), func(r catalog.RemovalRequest) bool {
		again := r.Datacenter == of && r.By == by && at.Sub(r.At).Abs() >= repeatTime
		return again || !waits(r, at)
	})
	if slices.ContainsFunc(s.Removals, func(r catalog.RemovalRequest) bool { return r.Datacenter == of }) {
		return s
	}
	s.Removals = append(s.Removals, catalog.RemovalRequest{Datacenter: of, By: by, At: at.UTC()})
	slices.SortFunc(s.Removals, func(a, b catalog.RemovalRequest) int { return cmp.Compare(a.Datacenter, b.Datacenter) })
	return s
}
