package catalog

import (
	"fmt"
	"net/netip"
	"slices"
)

// ValidatePrefixes checks the prefixes of one datacenter apart from the rest of the
// catalog. Each of them must be canonical, must not contain all addresses, must not
// overlap addresses that no datacenter can own, and must be listed once. One may
// contain another, because node addresses are often part of a larger range. The
// error is a *Refusal with the field "prefixes[i]".
func ValidatePrefixes(prefixes []Prefix) error {
	return checkPrefixes("prefixes", prefixes).err()
}

func checkPrefixes(field string, prefixes []Prefix) *Refusal {
	seen := make(map[netip.Prefix]int, len(prefixes))
	for i, p := range prefixes {
		if r := checkPrefix(p); r != nil {
			return r.in(at(field, i))
		}
		if first, twice := seen[p.CIDR]; twice {
			return &Refusal{
				Code: CodePrefixDuplicate, Field: at(field, i),
				Message: fmt.Sprintf("prefix %s is already listed as %s", p.CIDR, at(field, first)),
				Remedy:  "list each prefix once, with one kind",
			}
		}
		seen[p.CIDR] = i
	}
	return nil
}

func checkPrefix(p Prefix) *Refusal {
	invalid := func(message, remedy string) *Refusal {
		return &Refusal{Code: CodePrefixInvalid, Message: message, Remedy: remedy}
	}
	switch {
	case p.Kind != PodPrefix && p.Kind != ServicePrefix && p.Kind != NodePrefix:
		return invalid(fmt.Sprintf("prefix kind %q is unknown", shorten(string(p.Kind))), "use pod, service or node")
	case !p.CIDR.IsValid():
		return invalid("the value is not a prefix", "write it as address/length: 10.1.0.0/16")
	case p.CIDR.Addr().Is4In6():
		return invalid("prefix "+p.CIDR.String()+" is an IPv4-mapped IPv6 prefix", "write it as an IPv4 prefix")
	case p.CIDR.Bits() == 0:
		return invalid("prefix "+p.CIDR.String()+" contains every address", "announce only prefixes that the datacenter owns")
	case p.CIDR != p.CIDR.Masked():
		return invalid("prefix "+p.CIDR.String()+" has host bits set", fmt.Sprintf("write %s", p.CIDR.Masked()))
	}
	if reserved, found := reservedBy(p.CIDR); found {
		return invalid(fmt.Sprintf("prefix %s overlaps %s, which no datacenter can own", p.CIDR, reserved),
			"announce only prefixes that the datacenter owns")
	}
	return nil
}

// reservedBy returns the special-purpose range (IANA registries of RFC 6890) that p
// overlaps. Both halves of an address space overlap one, as /0 does. 240.0.0.0/4 is
// not reserved, because some clouds use it for pods.
func reservedBy(p netip.Prefix) (netip.Prefix, bool) {
	for _, text := range [...]string{
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
	} {
		if reserved := netip.MustParsePrefix(text); reserved.Overlaps(p) {
			return reserved, true
		}
	}
	return netip.Prefix{}, false
}

// Contains reports whether a prefix of d contains a.
func (d Datacenter) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(d.Prefixes, func(p Prefix) bool { return p.CIDR.Contains(a) })
}

// checkPrefixesFree refuses prefixes of dc that overlap the overlay or a prefix of
// another datacenter.
func (w *writer) checkPrefixesFree(dc DatacenterName, overlay netip.Prefix, prefixes []Prefix) *Refusal {
	others := w.ownedByOthers(dc)
	for i, p := range prefixes {
		field := at("prefixes", i)
		if p.CIDR.Overlaps(overlay) {
			return &Refusal{
				Code: CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("prefix %s overlaps %s, the overlay of the federation", p.CIDR, overlay),
				Remedy:  "use prefixes outside the overlay",
			}
		}
		if other, found := others.overlapping(p.CIDR); found {
			return &Refusal{
				Code: CodePrefixOverlap, Field: field,
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
	owner   map[netip.Prefix]DatacenterName
	lengths []int // of the prefixes, each once, the longest first
}

func (w *writer) ownedByOthers(dc DatacenterName) prefixOwners {
	o := prefixOwners{owner: make(map[netip.Prefix]DatacenterName)}
	for d := range each[Datacenter](w.txn, tableDatacenters, indexID) {
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
