// Package acceptance decides which prefixes of each datacenter a host uses, and which
// ranges in them it keeps local. It is pure.
package acceptance

import (
	"cmp"
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

// Has reports whether the datacenter has prefixes of a family. Those of IPv4 are first.
func (r Remote) Has(f routes.Family) bool {
	n := len(r.Prefixes)
	if n > 0 && f == routes.IPv6 {
		return r.Prefixes[n-1].Addr().Is6()
	}
	return n > 0 && r.Prefixes[0].Addr().Is4()
}

// Withdrawn returns the parts of withdrawn prefixes that this host guards: what it took
// from their datacenters and does not keep local, without the ranges that are claimed.
func (l LocalRanges) Withdrawn(list []plan.Withdrawn, claimed ...[]netip.Prefix) []netip.Prefix {
	if len(list) == 0 {
		return nil
	}
	var guarded []netip.Prefix
	keep := slices.Concat(claimed...)
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
