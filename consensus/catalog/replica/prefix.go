package replica

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// checkPrefixesFree refuses prefixes of dc that overlap the overlay or a prefix of
// another datacenter.
func (w *writer) checkPrefixesFree(dc catalog.DatacenterName, overlay netip.Prefix, prefixes []catalog.Prefix) *catalog.Refusal {
	others := w.ownedByOthers(dc)
	for i, p := range prefixes {
		field := catalog.At("prefixes", i)
		if p.CIDR.Overlaps(overlay) {
			return &catalog.Refusal{
				Code: catalog.CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("prefix %s overlaps %s, the overlay of the federation", p.CIDR, overlay),
				Remedy:  "use prefixes outside the overlay",
			}
		}
		if other, found := others.overlapping(p.CIDR); found {
			return &catalog.Refusal{
				Code: catalog.CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("prefix %s overlaps prefix %s of datacenter %q", p.CIDR, other, others.owner[other]),
				Remedy:  "change the prefixes of one of the two: an address can belong to one datacenter only",
			}
		}
	}
	return nil
}

// prefixOwners finds the owner of an overlapping prefix in logarithmic time: a
// datacenter may announce one address for each of its nodes.
type prefixOwners struct {
	sorted  []netip.Prefix
	owner   map[netip.Prefix]catalog.DatacenterName
	lengths []int // of the prefixes, each once, the longest first
}

func (w *writer) ownedByOthers(dc catalog.DatacenterName) prefixOwners {
	o := prefixOwners{owner: make(map[netip.Prefix]catalog.DatacenterName)}
	for d := range each[catalog.Datacenter](w.txn, tableDatacenters, indexID) {
		if d.Name == dc {
			continue
		}
		for _, p := range d.Prefixes {
			o.sorted = append(o.sorted, p.CIDR)
			o.owner[p.CIDR] = d.Name
			o.lengths = append(o.lengths, p.CIDR.Bits())
		}
	}
	slices.SortFunc(o.sorted, netip.Prefix.Compare)
	slices.SortFunc(o.lengths, func(a, b int) int { return b - a })
	o.lengths = slices.Compact(o.lengths)
	return o
}

// overlapping returns the narrowest prefix that contains p, else the first that p
// contains. Two prefixes that overlap are always nested.
func (o prefixOwners) overlapping(p netip.Prefix) (netip.Prefix, bool) {
	for _, bits := range o.lengths {
		if bits > p.Bits() {
			continue
		}
		wider := netip.PrefixFrom(p.Addr(), bits).Masked()
		if _, found := o.owner[wider]; found {
			return wider, true
		}
	}
	i, _ := slices.BinarySearchFunc(o.sorted, p, netip.Prefix.Compare)
	if i < len(o.sorted) && p.Contains(o.sorted[i].Addr()) {
		return o.sorted[i], true
	}
	return netip.Prefix{}, false
}
