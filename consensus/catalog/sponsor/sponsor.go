// Package sponsor decides which datacenters count as one. Any datacenter may invite
// another one, also one that it invented: a rule that two datacenters have to agree would
// be met by one that invites itself. Therefore a datacenter counts as the one that invited
// it, its sponsor, until it has been a member for a week, in which the others can see it
// and remove it. It is pure.
package sponsor

import (
	"iter"
	"maps"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Time is how long a datacenter counts as its sponsor. The catalog has the token of a
// join for at least as long: it deletes a token a week after its expiry.
const Time = 7 * 24 * time.Hour

// founder returns the datacenter that created the federation; empty: it has left.
func founder(f catalog.Federation, datacenters iter.Seq[*catalog.Datacenter]) catalog.DatacenterName {
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
	joins   map[catalog.DatacenterName]join // the last one of each, if it was in the last week
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
func New(f catalog.Federation, datacenters iter.Seq[*catalog.Datacenter], tokens iter.Seq[*catalog.Token], now time.Time) Sponsors {
	s := Sponsors{joins: make(map[catalog.DatacenterName]join), created: f.CreatedAt, founder: founder(f, datacenters)}
	for t := range tokens {
		j := join{t.CreatedBy.Datacenter(), t.UsedAt}
		if t.UsedBy != "" && now.Sub(t.UsedAt) < Time && j.at.After(s.joins[t.UsedBy].at) {
			s.joins[t.UsedBy] = j
		}
	}
	if s.founder == "" {
		s.founder = s.former(datacenters)
	}
	maps.DeleteFunc(s.joins, func(_ catalog.DatacenterName, j join) bool { return s.SetsUp(j.inviter, j.at) })
	return s
}

// former returns the founder that has left: the first inviter in the first week that did not
// join before it invited, while the catalog has the joins of that week. Those that it invited
// do not become one when it leaves, or leaves and joins again.
func (s Sponsors) former(datacenters iter.Seq[*catalog.Datacenter]) catalog.DatacenterName {
	present := make(map[catalog.DatacenterName]bool)
	for dc := range datacenters {
		present[dc.Name] = true
	}
	var first join
	for _, j := range s.joins {
		own, invited := s.joins[j.inviter]
		switch {
		case !s.inFirstWeek(j.at), first.inviter != "" && !j.at.Before(first.at):
		case invited && own.at.Sub(j.at) <= 2*catalog.MaxClockSkew: // it was invited before
		case !invited && present[j.inviter]: // it was invited more than a week ago
		default:
			first = j
		}
	}
	return first.inviter
}

// inFirstWeek reports whether a time is in the first week of the federation. It was created
// by the clock of its founder, by which it cannot make that week longer.
func (s Sponsors) inFirstWeek(at time.Time) bool {
	age := at.Sub(s.created)
	return -2*catalog.MaxClockSkew <= age && age < Time
}

// SetsUp reports whether an invitation by a datacenter is one of the founder in the first
// week of the federation.
func (s Sponsors) SetsUp(by catalog.DatacenterName, at time.Time) bool {
	return by != "" && by == s.founder && s.inFirstWeek(at)
}

// With returns the sponsors after dc has joined, too.
func (s Sponsors) With(dc, inviter catalog.DatacenterName, at time.Time) Sponsors {
	s.joins = maps.Clone(s.joins)
	if s.joins == nil {
		s.joins = make(map[catalog.DatacenterName]join)
	}
	delete(s.joins, dc)
	if !s.SetsUp(inviter, at) {
		s.joins[dc] = join{inviter, at}
	}
	return s
}

// Of returns the datacenter that dc counts as: itself, or the one that invited it or its
// inviter and counts as itself. A sponsor may have left. The order of the joins does not
// matter: their times are those of their authors.
func (s Sponsors) Of(dc catalog.DatacenterName) catalog.DatacenterName {
	passed := map[catalog.DatacenterName]bool{}
	for !passed[dc] {
		j, sponsored := s.joins[dc]
		if !sponsored {
			return dc
		}
		passed[dc] = true
		dc = j.inviter
	}
	return s.first(dc)
}

// first returns the first name of those that invited each other in a circle: one that left
// can join again by one that it invited.
func (s Sponsors) first(dc catalog.DatacenterName) catalog.DatacenterName {
	first := dc
	for at := s.joins[dc].inviter; at != dc; at = s.joins[at].inviter {
		first = min(first, at)
	}
	return first
}

// VotesAs returns what dc counts as where votes are assigned, which a sponsored one gets only
// if its sponsor has one. In the first week of the federation it counts as the leader's: the
// third datacenter of a new federation gets a vote whichever of the two invited it.
func (s Sponsors) VotesAs(dc, leader catalog.DatacenterName, now time.Time) catalog.DatacenterName {
	if s.Sponsored(dc) && s.inFirstWeek(now) {
		return leader
	}
	return s.Of(dc)
}

// Sponsored reports whether dc counts as another one.
func (s Sponsors) Sponsored(dc catalog.DatacenterName) bool { return s.Of(dc) != dc }

// Independent reports whether a and b count as two.
func (s Sponsors) Independent(a, b catalog.DatacenterName) bool { return s.Of(a) != s.Of(b) }

// MayPermit reports whether what by permits another datacenter counts: the founder may
// permit others what it likes, and each other one those that are independent of it.
func (s Sponsors) MayPermit(by, of catalog.DatacenterName) bool {
	return by != of && (by == s.founder && by != "" || s.Independent(by, of))
}

// Until returns until when dc counts as its sponsor; zero: it counts as itself.
func (s Sponsors) Until(dc catalog.DatacenterName) time.Time {
	j, ok := s.joins[dc]
	if !ok {
		return time.Time{}
	}
	return j.at.Add(Time)
}
