package quorum

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// Families is the set of address families in which a gateway is reached. The zero
// value is the set of a gateway of which nothing is known: both.
type Families uint8

const (
	ipv4 Families = 1 << iota
	ipv6
	anyFamily = ipv4 | ipv6
)

// FamiliesOf returns the families of the addresses that a gateway advertises. A name
// counts as both: what it resolves to is not known here.
func FamiliesOf(g catalog.Gateway) Families {
	var f Families
	for _, hostport := range slices.Concat(g.Endpoints, g.Controls) {
		switch address, err := netip.ParseAddrPort(hostport); {
		case err != nil:
			f |= anyFamily
		case address.Addr().Unmap().Is4():
			f |= ipv4
		default:
			f |= ipv6
		}
	}
	return f
}

// census has the families of the members in the catalog, by what their datacenters count
// as (package sponsor): a datacenter
// counts once, since it has as many gateways in the catalog as it writes records.
type census map[catalog.DatacenterName]struct {
	all  Families // of any of its members
	only Families // those that some member has alone
}

func newCensus(members []Member) census {
	c := make(census)
	for _, m := range members {
		if !m.InCatalog {
			continue
		}
		of := c[m.countsAs()]
		of.all |= cmp.Or(m.Families, anyFamily)
		if m.Families == ipv4 || m.Families == ipv6 {
			of.only |= m.Families
		}
		c[m.countsAs()] = of
	}
	return c
}

// cutOff returns how many datacenters have a member that has no family in common with
// f, other than those in except.
func (c census) cutOff(f Families, except ...catalog.DatacenterName) (n int) {
	if f == 0 || f == anyFamily {
		return 0
	}
	for dc, of := range c {
		if of.only&^f != 0 && !slices.Contains(except, dc) {
			n++
		}
	}
	return n
}

// unreached returns how many datacenters have no member that has a family in common with
// f. Further records of the datacenter of a member do not make it fewer for that member
// than for another one.
func (c census) unreached(f Families) (n int) {
	if f == 0 || f == anyFamily {
		return 0
	}
	for _, of := range c {
		if of.all&f == 0 {
			n++
		}
	}
	return n
}

func share(a, b Families) bool { return a == 0 || b == 0 || a&b != 0 }

// betterLeader returns the member to lead instead of a leader that has no address
// family in common with a member that does not answer it, or that is a witness: of those
// that are able to, the one that has a family in common with the members of the most
// datacenters, and one without a vote only if no voter matches. Empty: none has with more
// than the leader reaches, and the leader stays.
//
// The families are the same whichever member leads, and each transfer leaves fewer
// datacenters cut off, or as many and no witness as leader, so that leadership does not return.
func betterLeader(members []Member, able func(Member) bool) catalog.GatewayID {
	i := slices.IndexFunc(members, func(m Member) bool { return m.Leader && m.InCatalog && !m.Abstains })
	if i < 0 {
		return ""
	}
	leader, all := members[i], newCensus(members)
	silent := newCensus(slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Healthy }))
	reachesMore := func(m Member) bool {
		return able(m) && all.cutOff(m.Families) < silent.cutOff(leader.Families, notCounted(m, leader)...)
	}
	return cmp.Or(all.best(members, reachesMore), replacement(members, leader, able))
}

// notCounted returns the datacenters that do not count when m is compared with the leader:
// its own if it has no vote, since it could get one and leadership by records of gateways
// that do not exist. It does count if the leader is of the same one.
func notCounted(m, leader Member) []catalog.DatacenterName {
	if m.Voter || m.countsAs() == leader.countsAs() {
		return nil
	}
	return []catalog.DatacenterName{m.countsAs()}
}

// replacement returns the member that should lead instead of a witness; empty: it is
// none, or no other is able to lead that has a family in common with as many members.
func replacement(members []Member, witness Member, able func(Member) bool) catalog.GatewayID {
	if !witness.Witness {
		return ""
	}
	all := newCensus(members)
	return all.best(members, func(m Member) bool {
		return !m.Witness && able(m) && all.cutOff(m.Families) <= all.cutOff(witness.Families, notCounted(m, witness)...)
	})
}

// best returns the healthy member in the catalog that would lead best of those that
// match; empty: none does.
func (c census) best(members []Member, match func(Member) bool) catalog.GatewayID {
	var best Member
	for _, m := range members {
		if m.InCatalog && !m.Abstains && m.Healthy && match(m) && (best.ID == "" || c.compare(m, best) < 0) {
			best = m
		}
	}
	return best.ID
}

func isVoter(m Member) bool { return m.Voter }

// compare orders members by how well they would lead: voters first, of those the ones
// that reach more members, witnesses last, then those with more entries.
func (c census) compare(a, b Member) int {
	return cmp.Or(
		-compareBool(a.Voter, b.Voter),
		cmp.Compare(c.missed(a), c.missed(b)),
		compareBool(a.Witness, b.Witness),
		-cmp.Compare(a.LastIndex, b.LastIndex),
	)
}

// missed returns in how many datacenters m would not reach a member, or, if m has no
// vote, any member: see unreached.
func (c census) missed(m Member) int {
	if m.Voter {
		return c.cutOff(m.Families)
	}
	return c.unreached(m.Families)
}

// cutOffBy returns a member that would be cut off if to led instead of the present
// leader; empty: the present leader reaches no more members than to.
func cutOffBy(members []Member, to Member) catalog.GatewayID {
	all := newCensus(members)
	i := slices.IndexFunc(members, func(m Member) bool { return m.Leader && m.InCatalog })
	if i < 0 || all.cutOff(to.Families) <= all.cutOff(members[i].Families) {
		return ""
	}
	for _, m := range members {
		if m.InCatalog && !share(to.Families, m.Families) && share(members[i].Families, m.Families) {
			return m.ID
		}
	}
	return ""
}
