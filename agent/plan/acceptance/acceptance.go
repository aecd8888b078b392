// Package acceptance decides which prefixes of each datacenter a host uses, and which
// ranges in them it keeps local. It is pure.
package acceptance

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/routes"
)

// Own is the datacenter of this host.
type Own struct {
	catalog.Datacenter
	Accepted []netip.Prefix // those of Prefixes that are used, sorted
}

// Remote is another datacenter.
type Remote struct {
	Name     catalog.DatacenterName
	Ordinal  uint32
	Prefixes []netip.Prefix // accepted ones, sorted
}

// ownedPrefix is a prefix with its owner.
type ownedPrefix struct {
	owner  string // for messages
	prefix netip.Prefix
}

// Decide decides which prefixes each datacenter may send from and be
// reached at. The catalog refuses overlaps. If there is one nevertheless, every
// gateway must make the same decision on its own: the overlay wins (the
// catalog itself is replicated over it), then the own datacenter (its pods must
// stay reachable), then the first by name.
//
// Of another datacenter, prefixes that no honest leader accepts are not used at all.
//
// Of what is left, a prefix of another datacenter never wins over what this
// host reaches otherwise. The ranges that stay local for that reason are
// returned aggregated.
func Decide(overlay netip.Prefix, own catalog.Datacenter, others []catalog.Datacenter, host LocalRanges, found *plan.Problems) (Own, []Remote, []netip.Prefix) {
	others = slices.Clone(others)
	for i, dc := range others {
		others[i] = withinLimits(dc, found)
	}
	taken := newAcceptance(overlay, append(others[:len(others):len(others)], own))
	local := Own{Datacenter: own, Accepted: taken.of(own, found)}
	kept := host.JudgeOverlay(overlay, found)
	var out []Remote
	for _, dc := range others {
		r := Remote{Name: dc.Name, Ordinal: dc.Ordinal}
		if r.Ordinal > routes.MaxOrdinal {
			found.AddError("ordinal-too-large", plan.DatacenterSubject(dc.Name),
				fmt.Sprintf("the prefixes of datacenter %s are not routed: its ordinal %d is greater than %d", dc.Name, dc.Ordinal, routes.MaxOrdinal),
				"upgrade meshd on all gateways, then run meshctl leave in that datacenter and join again with a new token")
		} else {
			var more []netip.Prefix
			distinct := withKinds(taken.of(dc, found), dc.Prefixes)
			r.Prefixes, more = host.judge(dc.Name, accepted(host.cfg, dc.Name, distinct), found)
			kept = append(kept, more...)
		}
		out = append(out, r)
	}
	return local, out, prefixset.Aggregate(kept)
}

// Withdrawn returns the parts of withdrawn prefixes that this host guards: what it took
// from their datacenters and does not keep local, without the ranges that are claimed.
func (l LocalRanges) Withdrawn(list []plan.Withdrawn, claimed []netip.Prefix) []netip.Prefix {
	var guarded []netip.Prefix
	keep := slices.Clone(claimed)
	for _, w := range list {
		if allowlist.CheckLength(w.Prefix.CIDR) != nil {
			continue // it was not routed
		}
		var found plan.Problems // of a datacenter that announces it no more
		routed, local := l.judge(w.Datacenter, accepted(l.cfg, w.Datacenter, []catalog.Prefix{w.Prefix}), &found)
		guarded, keep = append(guarded, routed...), append(keep, local...)
	}
	if len(guarded) == 0 {
		return nil
	}
	return prefixset.Subtract(prefixset.Aggregate(guarded), prefixset.Aggregate(keep))
}

// withKinds returns ranges with their kinds in a record.
func withKinds(ranges []netip.Prefix, record []catalog.Prefix) []catalog.Prefix {
	kinds := make(map[netip.Prefix]catalog.PrefixKind, len(record))
	for _, p := range record {
		kinds[p.CIDR] = p.Kind
	}
	out := make([]catalog.Prefix, len(ranges))
	for i, r := range ranges {
		out[i] = catalog.Prefix{CIDR: r, Kind: kinds[r]}
	}
	return out
}

// acceptance has the prefixes that were accepted, by their number in the index.
type acceptance struct {
	accepted []ownedPrefix
	index    *prefixset.Index
}

// newAcceptance returns the acceptance of the overlay, for the prefixes of datacenters.
func newAcceptance(overlay netip.Prefix, datacenters []catalog.Datacenter) *acceptance {
	all := []netip.Prefix{overlay}
	for _, dc := range datacenters {
		for _, p := range dc.Prefixes {
			all = append(all, p.CIDR)
		}
	}
	a := &acceptance{index: prefixset.NewIndex(all), accepted: make([]ownedPrefix, 0, len(all))}
	a.add(ownedPrefix{"the overlay", overlay.Masked()})
	return a
}

func (a *acceptance) add(p ownedPrefix) {
	if p.prefix.IsValid() {
		a.index.Add(p.prefix)
		a.accepted = append(a.accepted, p)
	}
}

// of returns the prefixes of one datacenter that overlap none of those accepted
// before, and accepts them. Within one datacenter they may overlap: node addresses are
// often part of a larger range.
func (a *acceptance) of(dc catalog.Datacenter, found *plan.Problems) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(dc.Prefixes))
	for _, p := range sortedPrefixes(dc.Prefixes) {
		if !p.IsValid() || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() {
			found.AddError("prefix-invalid", plan.DatacenterSubject(dc.Name),
				fmt.Sprintf("prefix %v of datacenter %s is not used: it is not in canonical form, or it covers all addresses", p, dc.Name),
				fmt.Sprintf("correct the prefixes in the configuration of %s", dc.Name))
			continue
		}
		if i, ok := a.index.First(p); ok {
			found.AddError("prefix-overlap", plan.DatacenterSubject(dc.Name),
				fmt.Sprintf("prefix %v of datacenter %s is not used: it overlaps %v of %s", p, dc.Name, a.accepted[i].prefix, a.accepted[i].owner),
				fmt.Sprintf("assign other addresses to %s, or remove the prefix from its configuration", dc.Name))
			continue
		}
		out = append(out, p)
	}
	for owner, i := plan.DatacenterSubject(dc.Name), 0; i < len(out); i++ {
		a.add(ownedPrefix{owner, out[i]})
	}
	return out
}

// sortedPrefixes returns the distinct ranges of a datacenter.
func sortedPrefixes(in []catalog.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(in))
	for _, p := range in {
		out = append(out, p.CIDR)
	}
	return prefixset.Distinct(out)
}

// SourceAddress returns the lowest address of this host in a pod or node
// prefix of its datacenter, or the zero Addr. Other datacenters accept packets
// from it and can answer. Addresses in service prefixes are no source, because
// many hosts have them at the same time (IPVS mode of kube-proxy).
func (dc Own) SourceAddress(h plan.Host, f routes.Family) netip.Addr {
	var best netip.Addr
	for _, a := range h.Addresses {
		a = a.Unmap()
		if routes.FamilyOf(a) == f && dc.ownsHostAddress(a) && (!best.IsValid() || a.Less(best)) {
			best = a
		}
	}
	return best
}

func (dc Own) ownsHostAddress(a netip.Addr) bool {
	return slices.ContainsFunc(dc.Prefixes, func(p catalog.Prefix) bool {
		return p.Kind != catalog.ServicePrefix && slices.Contains(dc.Accepted, p.CIDR) && p.CIDR.Contains(a)
	})
}

// OwnsPodPrefix reports whether an accepted pod prefix of the datacenter
// contains p and is larger.
func (dc Own) OwnsPodPrefix(p netip.Prefix) bool {
	return slices.ContainsFunc(dc.Prefixes, func(own catalog.Prefix) bool {
		return own.Kind == catalog.PodPrefix && slices.Contains(dc.Accepted, own.CIDR) && prefixset.IsPart(p, own.CIDR)
	})
}

// ServicePrefixes returns the accepted service prefixes, aggregated.
func (dc Own) ServicePrefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range dc.Prefixes {
		if p.Kind == catalog.ServicePrefix && slices.Contains(dc.Accepted, p.CIDR) {
			out = append(out, p.CIDR)
		}
	}
	return prefixset.Aggregate(out)
}

// SortedDatacenters returns the records by name.
func SortedDatacenters(in []catalog.Datacenter) []catalog.Datacenter {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Datacenter) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ordinal, b.Ordinal))
	})
}
