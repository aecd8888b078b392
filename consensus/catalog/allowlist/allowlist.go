// Package allowlist decides in which ranges a datacenter may announce prefixes. It is
// pure.
package allowlist

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// privateRanges returns the ranges that are not routed in the internet: RFC 1918, RFC 6598
// and RFC 4193.
func privateRanges() [5]netip.Prefix {
	ipv4 := func(a, b byte, bits int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b}), bits) }
	return [...]netip.Prefix{
		ipv4(10, 0, 8), ipv4(172, 16, 12), ipv4(192, 168, 16), ipv4(100, 64, 10),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc}), 7),
	}
}

func isPrivate(p netip.Prefix) bool {
	for _, private := range privateRanges() {
		if within(p, private) {
			return true
		}
	}
	return false
}

func byFamily(p netip.Prefix, ipv4, ipv6 int) int {
	if p.Addr().Is4() {
		return ipv4
	}
	return ipv6
}

func within(p, of netip.Prefix) bool { return of.Bits() <= p.Bits() && of.Contains(p.Addr()) }

// Check returns why the catalog refuses that dc, with these gateways, announces p, or
// nil: p must be private, in a range that another datacenter allows, or of nodes in the
// network of a gateway.
func Check(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.DatacenterName, gateways []catalog.Gateway, announced catalog.Prefix) *catalog.Refusal {
	p := announced.CIDR
	if r := checkLength(p); r != nil {
		return r
	}
	if isPrivate(p) || announced.Kind == catalog.NodePrefix && isNearGateway(p, gateways) {
		return nil
	}
	no := "no other datacenter allows it"
	for _, a := range s.Allowed {
		switch {
		case a.AllowedBy == dc || !within(p, a.CIDR):
		case sponsors.MayPermit(a.AllowedBy, dc):
			return nil
		default:
			no = fmt.Sprintf("datacenter %s, which allows it, does not count as another one: one of the two was invited by the other less than a week ago, "+
				"or both by a third", a.AllowedBy)
		}
	}
	return &catalog.Refusal{
		Code:    catalog.CodePrefixNotAllowed,
		Message: fmt.Sprintf("prefix %s is outside the private ranges, and %s", p, no),
		Remedy:  fmt.Sprintf("run meshctl federation allow %s on a gateway of another datacenter, or announce other prefixes", p),
	}
}

// CheckNew is Check for the prefixes of dc that it did not have. The field of the refusal
// is "prefixes[i]".
func CheckNew(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.Datacenter, gateways []catalog.Gateway, had []catalog.Prefix) *catalog.Refusal {
	for i, p := range dc.Prefixes {
		if slices.ContainsFunc(had, func(h catalog.Prefix) bool { return h.CIDR == p.CIDR }) {
			continue
		}
		if r := Check(s, sponsors, dc.Name, gateways, p); r != nil {
			return r.In(catalog.At("prefixes", i))
		}
	}
	return nil
}

// Outside returns the prefixes that dc has and could not announce today, even if each
// datacenter counted as another one.
func Outside(s catalog.Settings, dc catalog.Datacenter, gateways []catalog.Gateway) []string {
	var outside []string
	for _, p := range dc.Prefixes {
		if Check(s, sponsor.Sponsors{}, dc.Name, gateways, p) != nil {
			outside = append(outside, p.CIDR.String())
		}
	}
	return outside
}

// isNearGateway reports whether p is in the network (/24, or /48 in IPv6) of an address at
// which a gateway is reached. Hosts with public addresses are often in one such network.
func isNearGateway(p netip.Prefix, gateways []catalog.Gateway) bool {
	bits := byFamily(p, 24, 48)
	for _, g := range gateways {
		for _, endpoint := range g.Endpoints {
			at, _ := netip.ParseAddrPort(endpoint) // not valid: a name
			if network, err := at.Addr().Prefix(bits); err == nil && within(p, network) {
				return true
			}
		}
	}
	return false
}

// CheckAllowable returns why the catalog refuses to allow the ranges, or nil. The field
// of the refusal is "cidrs[i]".
func CheckAllowable(ranges []netip.Prefix) *catalog.Refusal {
	for i, p := range ranges {
		r := catalog.CheckPrefix(catalog.Prefix{CIDR: p, Kind: catalog.NodePrefix})
		if r == nil {
			r = checkLength(p)
		}
		if r != nil {
			return r.In(catalog.At("cidrs", i))
		}
	}
	return nil
}

// maxAllowed is how many ranges all datacenters may allow together, as many as 256 with the
// most that each may. The ranges are in one record, with which each prefix is compared.
const maxAllowed = 256 * catalog.MaxAllowedPrefixes

// CheckNumber returns why a change of the settings is refused, or nil: no datacenter may
// allow a range when there are too many.
func CheckNumber(before, after catalog.Settings) *catalog.Refusal {
	if len(after.Allowed) <= max(maxAllowed, len(before.Allowed)) {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodePrefixLimit, Field: "cidrs",
		Message: fmt.Sprintf("the datacenters would allow %d ranges together, the maximum is %d", len(after.Allowed), maxAllowed),
		Remedy:  "remove ranges that are no longer needed: meshctl federation allow lists them",
	}
}

// CheckRemovable returns why dc cannot remove ranges, or nil: it must have allowed them.
// The field of the refusal is "removed[i]".
func CheckRemovable(s catalog.Settings, dc catalog.DatacenterName, ranges []netip.Prefix) *catalog.Refusal {
	for i, p := range ranges {
		if slices.Contains(s.Allowed, catalog.AllowedPrefix{CIDR: p, AllowedBy: dc}) {
			continue
		}
		r := &catalog.Refusal{
			Code: catalog.CodePrefixNotAllowed, Field: catalog.At("removed", i),
			Message: fmt.Sprintf("datacenter %s does not allow %s", dc, p), Remedy: "list the ranges with meshctl federation allow",
		}
		if by := slices.IndexFunc(s.Allowed, func(a catalog.AllowedPrefix) bool { return a.CIDR == p }); by >= 0 {
			r.Remedy = fmt.Sprintf("run the command on a gateway of datacenter %s, which allows it", s.Allowed[by].AllowedBy)
		}
		return r
	}
	return nil
}

// checkLength refuses prefixes that are so short that they take the addresses that
// others need.
func checkLength(p netip.Prefix) *catalog.Refusal {
	shortest := byFamily(p, 8, 16)
	if p.Bits() >= shortest {
		return nil
	}
	return &catalog.Refusal{
		Code:    catalog.CodePrefixInvalid,
		Message: fmt.Sprintf("prefix %s is too large", p),
		Remedy:  fmt.Sprintf("use prefixes of length %d or more", shortest),
	}
}
