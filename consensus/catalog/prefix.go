package catalog

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ValidatePrefixes is CheckPrefixes with an error as result.
func ValidatePrefixes(prefixes []Prefix) error { return CheckPrefixes(prefixes).err() }

// CheckPrefixes returns why the catalog refuses the prefixes of one datacenter apart
// from the rest of the catalog, or nil. Each of them must be canonical, must not contain
// all addresses, must not overlap addresses that no datacenter can own, and must be
// listed once. One may contain another, because node addresses are often part of a
// larger range. The field of the refusal is "prefixes[i]".
func CheckPrefixes(prefixes []Prefix) *Refusal {
	const field = "prefixes"
	seen := make(map[netip.Prefix]int, len(prefixes))
	for i, p := range prefixes {
		if r := CheckPrefix(p); r != nil {
			return r.In(At(field, i))
		}
		if first, twice := seen[p.CIDR]; twice {
			return &Refusal{
				Code: CodePrefixDuplicate, Field: At(field, i),
				Message: fmt.Sprintf("prefix %s is already listed as %s", p.CIDR, At(field, first)),
				Remedy:  "list each prefix once, with one kind",
			}
		}
		seen[p.CIDR] = i
	}
	return nil
}

// CheckPrefix returns why the catalog refuses a prefix apart from all others, or nil.
func CheckPrefix(p Prefix) *Refusal {
	invalid := func(message, remedy string) *Refusal {
		return &Refusal{Code: CodePrefixInvalid, Message: message, Remedy: remedy}
	}
	switch {
	case p.Kind != PodPrefix && p.Kind != ServicePrefix && p.Kind != NodePrefix:
		return invalid(fmt.Sprintf("prefix kind %q is unknown", Shorten(string(p.Kind))), "use pod, service or node")
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

// CheckAddress returns why the catalog refuses a as an address of d, or nil.
func (d Datacenter) CheckAddress(a netip.Addr) *Refusal {
	if d.Contains(a) && a.Zone() == "" {
		return nil
	}
	remedy := "use an address of " + prefixList(d.Prefixes) + ", or announce its prefix"
	if len(d.Prefixes) == 0 {
		remedy = "the datacenter announces no prefixes: announce that of the address (prefixes in meshd.yaml; a witness has none), or register the service in another datacenter"
	}
	return &Refusal{
		Code: CodeAddressForeign, Field: "address",
		Message: fmt.Sprintf("address %q is not in the prefixes of datacenter %s", addrText(a), d.Name),
		Remedy:  remedy,
	}
}

func prefixList(prefixes []Prefix) string {
	const most = 8
	var texts []string
	for _, p := range prefixes {
		if len(texts) == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, p.CIDR.String())
	}
	if len(texts) == 0 {
		return "the datacenter, which has no prefixes"
	}
	return strings.Join(texts, " ")
}
