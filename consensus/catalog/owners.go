package catalog

import (
	"iter"
	"net/netip"
	"slices"
)

// PrefixOwners finds the owner of an overlapping prefix in logarithmic time: a
// datacenter may announce one address for each of its nodes.
type PrefixOwners struct {
	sorted  []netip.Prefix
	owner   map[netip.Prefix]DatacenterName
	lengths []int // of the prefixes, each once, the longest first
}

// OwnersOf returns the owners of the prefixes of datacenters, without those of one.
func OwnersOf(datacenters iter.Seq[*Datacenter], without DatacenterName) PrefixOwners {
	o := PrefixOwners{owner: make(map[netip.Prefix]DatacenterName)}
	for d := range datacenters {
		if d.Name == without {
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

// Overlapping returns the narrowest prefix that contains p, else the first that p
// contains, with its owner. Two prefixes that overlap are always nested.
func (o PrefixOwners) Overlapping(p netip.Prefix) (netip.Prefix, DatacenterName, bool) {
	for _, bits := range o.lengths {
		if bits > p.Bits() {
			continue
		}
		wider := netip.PrefixFrom(p.Addr(), bits).Masked()
		if owner, found := o.owner[wider]; found {
			return wider, owner, true
		}
	}
	i, _ := slices.BinarySearchFunc(o.sorted, p, netip.Prefix.Compare)
	if i < len(o.sorted) && p.Contains(o.sorted[i].Addr()) {
		return o.sorted[i], o.owner[o.sorted[i]], true
	}
	return netip.Prefix{}, "", false
}
