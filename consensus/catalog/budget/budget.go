// Package budget bounds the requests of a datacenter that concern others: removals of
// datacenters, what the leader does on request, and changes of the members, each of which
// changes the configuration of raft. One that makes them in a loop would keep the others
// from writing, or remove one after the other, or be most of the members. It is pure.
package budget

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Kind is a kind of requests whose number is limited for each datacenter.
type Kind string

// The kinds of requests.
const (
	Operations Kind = "leader operations"
	Removals   Kind = "removals of datacenters"
	Members    Kind = "changes of members" // not in Settings: each member counts what it applies
	Admissions Kind = "admissions"         // of datacenters; likewise
)

// Burst returns how many requests a datacenter may make at once.
func (k Kind) Burst() int {
	switch k {
	case Removals:
		return 3
	case Members:
		return 128 // all gateways that a datacenter may have are replaced at once: 63 leave, 63 enrol
	case Admissions:
		return 16
	case Operations:
	}
	return 5
}

// Interval returns how often a datacenter may make another one.
func (k Kind) Interval() time.Duration {
	switch k {
	case Removals:
		return 10 * time.Minute
	case Members:
		return 15 * time.Second
	case Admissions:
		return 6 * time.Hour
	case Operations:
	}
	return time.Minute
}

// Allows reports whether a datacenter that has requests to pay for until a time may make
// another one now.
func (k Kind) Allows(until, now time.Time) bool {
	return until.Sub(now) <= time.Duration(k.Burst()-1)*k.Interval()
}

// After returns until when a datacenter has requests to pay for, after one more at a
// time.
func (k Kind) After(until, at time.Time) time.Time {
	if until.Before(at) {
		until = at
	}
	return until.Add(k.Interval())
}

// Bound returns until, but not later than what a datacenter pays for whose requests are
// limited: those of the leader's own datacenter may be not, see raftnode.
func (k Kind) Bound(until, at time.Time) time.Time {
	if most := at.Add(catalog.MaxClockSkew + time.Duration(k.Burst())*k.Interval()); until.After(most) {
		return most
	}
	return until
}

// Until returns until when a datacenter has requests to pay for, as the catalog has it.
func Until(s catalog.Settings, kind Kind, dc catalog.DatacenterName) time.Time {
	for _, b := range s.Budgets {
		if b.Datacenter == dc && b.Kind == string(kind) {
			return b.Until
		}
	}
	return time.Time{}
}

// Spend returns s after one more request of dc, at the time of its command. It drops what
// has been paid for longer ago than clocks may differ, so that what it returns does not
// grow with the datacenters that were members.
func Spend(s catalog.Settings, kind Kind, dc catalog.DatacenterName, at time.Time) catalog.Settings {
	until := kind.Bound(kind.After(Until(s, kind, dc), at), at)
	s.Budgets = slices.DeleteFunc(slices.Clone(s.Budgets), func(b catalog.Budget) bool {
		return b.Datacenter == dc && b.Kind == string(kind) || at.Sub(b.Until) > 2*catalog.MaxClockSkew
	})
	s.Budgets = append(s.Budgets, catalog.Budget{Datacenter: dc, Kind: string(kind), Until: until.UTC()})
	slices.SortFunc(s.Budgets, func(a, b catalog.Budget) int {
		return cmp.Or(cmp.Compare(a.Datacenter, b.Datacenter), cmp.Compare(a.Kind, b.Kind))
	})
	return s
}
