// Package sponsor decides which datacenters count as one. Any datacenter may invite
// another one, also one that it invented: a rule that two datacenters have to agree would
// be met by one that invites itself. Therefore a datacenter counts as the one that invited
// it, its sponsor, until it has been a member for a week, in which the others can see it
// and remove it. It is pure.
package sponsor

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Time is how long a datacenter counts as its sponsor. The catalog has the token of a
// join for at least as long: it deletes a token a week after its expiry.
const Time = 7 * 24 * time.Hour

// Founder returns the datacenter that created the federation; empty: it has left.
func Founder(f catalog.Federation, datacenters iter.Seq[*catalog.Datacenter]) catalog.DatacenterName {
	for dc := range datacenters {
		if dc.Ordinal == 1 && dc.JoinedAt.Equal(f.CreatedAt) {
			return dc.Name
		}
	}
	return ""
}

// Sponsors has what datacenters count as at one time. The zero value has no sponsors: each
// datacenter counts as itself.
type Sponsors struct {
	joins   map[catalog.DatacenterName][]join // in the last week
	created time.Time
	founder catalog.DatacenterName
}

// join is one use of a token.
type join struct {
	inviter catalog.DatacenterName
	at      time.Time
}

// New returns the sponsors at a time. Those that the founder invites in the first week of
// the federation have none: while a federation is set up, it has no other member that
// could admit them.
func New(f catalog.Federation, founder catalog.DatacenterName, tokens iter.Seq[*catalog.Token], now time.Time) Sponsors {
	s := Sponsors{joins: make(map[catalog.DatacenterName][]join), created: f.CreatedAt, founder: founder}
	for t := range tokens {
		if t.UsedBy != "" && now.Sub(t.UsedAt) < Time {
			s.add(t.UsedBy, join{t.CreatedBy.Datacenter(), t.UsedAt})
		}
	}
	return s
}

func (s Sponsors) add(dc catalog.DatacenterName, j join) {
	if !s.SetsUp(j.inviter, j.at) {
		s.joins[dc] = append(s.joins[dc], j)
	}
}

// SetsUp reports whether an invitation by a datacenter is one of the founder in the first
// week of the federation.
func (s Sponsors) SetsUp(by catalog.DatacenterName, at time.Time) bool {
	return by != "" && by == s.founder && at.Sub(s.created) < Time
}

// With returns the sponsors after dc has joined, too.
func (s Sponsors) With(dc, inviter catalog.DatacenterName, at time.Time) Sponsors {
	s.joins = maps.Clone(s.joins)
	if s.joins == nil {
		s.joins = make(map[catalog.DatacenterName][]join)
	}
	s.joins[dc] = slices.Clone(s.joins[dc])
	s.add(dc, join{inviter, at})
	return s
}

// Of returns the datacenter that dc counts as: itself, or the one that invited it or its
// inviter and counts as itself. A sponsor may have left.
func (s Sponsors) Of(dc catalog.DatacenterName) catalog.DatacenterName {
	before := time.Time{} // any
	for {
		j, ok := s.latest(dc, before)
		if !ok {
			return dc
		}
		dc, before = j.inviter, j.at
	}
}

// latest returns the last join of dc before a time; zero: of all. An inviter of a name
// that another datacenter has taken since is so the former one.
func (s Sponsors) latest(dc catalog.DatacenterName, before time.Time) (latest join, ok bool) {
	for _, j := range s.joins[dc] {
		if (before.IsZero() || j.at.Before(before)) && (!ok || j.at.After(latest.at)) {
			latest, ok = j, true
		}
	}
	return latest, ok
}

// Independent reports whether a and b count as two.
func (s Sponsors) Independent(a, b catalog.DatacenterName) bool { return s.Of(a) != s.Of(b) }

// MayPermit reports whether what by permits another datacenter counts: the founder may
// permit others what it likes, and each other one those that are independent of it.
func (s Sponsors) MayPermit(by, of catalog.DatacenterName) bool {
	return by != of && (by == s.founder && by != "" || s.Independent(by, of))
}

// Until returns until when dc counts as its sponsor; zero: it counts as itself.
func (s Sponsors) Until(dc catalog.DatacenterName) time.Time {
	j, ok := s.latest(dc, time.Time{})
	if !ok {
		return time.Time{}
	}
	return j.at.Add(Time)
}
