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

// census counts the members in the catalog by their families.
type census [anyFamily + 1]int

func newCensus(members []Member) census {
	var c census
	for _, m := range members {
		if m.InCatalog {
			c[m.Families]++
		}
	}
	return c
}

// cutOff returns how many members have no family in common with f.
func (c census) cutOff(f Families) (n int) {
	for other, count := range c {
		if !share(f, Families(other)) {
			n += count
		}
	}
	return n
}

func share(a, b Families) bool { return a == 0 || b == 0 || a&b != 0 }

// betterLeader returns the member to lead instead of a leader that has no address
// family in common with a member that does not answer it, or that is a witness: of those
// that are able to, the one that has a family in common with the most members. Empty:
// none has with more than the leader reaches, and the leader stays.
//
// The families are the same whichever member leads, and each transfer leaves fewer
// members cut off, or as many and no witness as leader, so that leadership does not return.
func betterLeader(members []Member, able func(Member) bool) catalog.GatewayID {
	i := slices.IndexFunc(members, func(m Member) bool { return m.Leader && m.InCatalog && !m.Abstains })
	if i < 0 {
		return ""
	}
	leader, cutOff := members[i], 0
	for _, m := range members {
		if m.InCatalog && !m.Healthy && !share(leader.Families, m.Families) {
			cutOff++
		}
	}
	all := newCensus(members)
	reachesMore := func(m Member) bool { return able(m) && all.cutOff(m.Families) < cutOff }
	return cmp.Or(all.best(members, reachesMore), replacement(members, leader, able))
}

// replacement returns the member that should lead instead of a witness; empty: it is
// none, or no other is able to lead that has a family in common with as many members.
func replacement(members []Member, witness Member, able func(Member) bool) catalog.GatewayID {
	if !witness.Witness {
		return ""
	}
	all := newCensus(members)
	return all.best(members, func(m Member) bool {
		return !m.Witness && able(m) && all.cutOff(m.Families) <= all.cutOff(witness.Families)
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

// compare orders members by how well they would lead: those that reach more members
// first, witnesses last of those, then voters, then those with more entries.
func (c census) compare(a, b Member) int {
	return cmp.Or(
		cmp.Compare(c.cutOff(a.Families), c.cutOff(b.Families)),
		compareBool(a.Witness, b.Witness),
		-compareBool(a.Voter, b.Voter),
		-cmp.Compare(a.LastIndex, b.LastIndex),
	)
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
