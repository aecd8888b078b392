package catalog

import (
	"fmt"
	"net/netip"
	"slices"
)

// Contains says whether a is an address of d.
func (d Datacenter) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(d.Prefixes, func(p Prefix) bool { return p.CIDR.Contains(a) })
}

// prefixesFree refuses prefixes of dc that overlap the overlay or what another
// datacenter owns.
func (w *writer) prefixesFree(dc DatacenterName, overlay netip.Prefix, prefixes []Prefix) *Refusal {
	others := w.ownedByOthers(dc)
	for i, p := range prefixes {
		field := at("prefixes", i)
		if p.CIDR.Overlaps(overlay) {
			return &Refusal{
				Code: CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("%s overlaps %s, the overlay of the federation", p.CIDR, overlay),
				Remedy:  "use prefixes outside of the overlay",
			}
		}
		if other, found := others.overlapping(p.CIDR); found {
			return &Refusal{
				Code: CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("%s overlaps %s of datacenter %q", p.CIDR, other, others.owner[other]),
				Remedy:  "every address belongs to one datacenter: change the prefixes of one of the two",
			}
		}
	}
	return nil
}

// owned finds overlaps without comparing everything with everything: a
// datacenter may announce an address for each of its nodes.
type owned struct {
	sorted []netip.Prefix
	owner  map[netip.Prefix]DatacenterName
}

func (w *writer) ownedByOthers(dc DatacenterName) owned {
	o := owned{owner: make(map[netip.Prefix]DatacenterName)}
	for d := range each[Datacenter](w.txn, tableDatacenters, indexID) {
		if d.Name == dc {
			continue
		}
		for _, p := range d.Prefixes {
			o.sorted = append(o.sorted, p.CIDR)
			o.owner[p.CIDR] = d.Name
		}
	}
	slices.SortFunc(o.sorted, comparePrefixes)
	return o
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// overlapping finds a prefix that covers p, else the first that p covers. Two
// prefixes that overlap are always nested.
func (o owned) overlapping(p netip.Prefix) (netip.Prefix, bool) {
	for bits := p.Bits(); bits >= 0; bits-- {
		wider := netip.PrefixFrom(p.Addr(), bits).Masked()
		if _, found := o.owner[wider]; found {
			return wider, true
		}
	}
	i, _ := slices.BinarySearchFunc(o.sorted, p, comparePrefixes)
	if i < len(o.sorted) && p.Contains(o.sorted[i].Addr()) {
		return o.sorted[i], true
	}
	return netip.Prefix{}, false
}
