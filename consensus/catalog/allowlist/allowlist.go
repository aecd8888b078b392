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

// rule decides on the prefixes of one datacenter.
type rule struct {
	settings catalog.Settings
	sponsors sponsor.Sponsors
	dc       catalog.DatacenterName
	near     map[netip.Prefix]bool
}

// newRule returns the rule for a datacenter with gateways: nodes may be in the network (/24,
// or /48 in IPv6) of an address at which one is reached. Hosts with public addresses are
// often in one such network.
func newRule(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.DatacenterName, gateways []catalog.Gateway) rule {
	r := rule{settings: s, sponsors: sponsors, dc: dc, near: map[netip.Prefix]bool{}}
	for _, g := range gateways {
		for _, endpoint := range g.Endpoints {
			at, err := netip.ParseAddrPort(endpoint)
			if err != nil {
				continue // a name
			}
			if network, err := at.Addr().Prefix(networkBits(at.Addr())); err == nil {
				r.near[network] = true
			}
		}
	}
	return r
}

func networkBits(a netip.Addr) int { return byFamily(netip.PrefixFrom(a, a.BitLen()), 24, 48) }

func (r rule) isNear(p netip.Prefix) bool {
	network, err := p.Addr().Prefix(networkBits(p.Addr()))
	return err == nil && network.Bits() <= p.Bits() && r.near[network]
}

// check returns why the catalog refuses that the datacenter announces p, or nil: p must be
// private, in a range that another datacenter allows, or of nodes near a gateway.
func (r rule) check(announced catalog.Prefix) *catalog.Refusal {
	p := announced.CIDR
	if refusal := CheckLength(p); refusal != nil {
		return refusal
	}
	if isPrivate(p) || announced.Kind == catalog.NodePrefix && r.isNear(p) {
		return nil
	}
	var sponsored catalog.DatacenterName
	for _, a := range r.settings.Allowed {
		switch {
		case a.AllowedBy == r.dc || !within(p, a.CIDR):
		case r.sponsors.MayPermit(a.AllowedBy, r.dc):
			return nil
		default:
			sponsored = a.AllowedBy
		}
	}
	no := "no other datacenter allows it"
	if sponsored != "" {
		no = fmt.Sprintf("datacenter %s allows it but does not count as independent: one of the two invited the other, or a third one invited both, "+
			"less than a week ago", sponsored)
	}
	return &catalog.Refusal{
		Code:    catalog.CodePrefixNotAllowed,
		Message: fmt.Sprintf("prefix %s is outside the private ranges, and %s", p, no),
		Remedy:  fmt.Sprintf("run meshctl federation allow %s on a gateway of another datacenter, or announce other prefixes", p),
	}
}

// CheckNew returns why the catalog refuses the prefixes of dc that it did not have, or nil.
// The field of the refusal is "prefixes[i]". Each endpoint is parsed once, as both lists are
// as long as a hostile member makes them.
func CheckNew(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.Datacenter, gateways []catalog.Gateway, had []catalog.Prefix) *catalog.Refusal {
	r := newRule(s, sponsors, dc.Name, gateways)
	known := make(map[netip.Prefix]bool, len(had))
	for _, p := range had {
		known[p.CIDR] = true
	}
	for i, p := range dc.Prefixes {
		if known[p.CIDR] {
			continue
		}
		if refusal := r.check(p); refusal != nil {
			return refusal.In(catalog.At("prefixes", i))
		}
	}
	return nil
}

// Outside returns the prefixes that dc has and could not announce today, even if each
// datacenter counted as another one.
func Outside(s catalog.Settings, dc catalog.Datacenter, gateways []catalog.Gateway) []string {
	r := newRule(s, sponsor.Sponsors{}, dc.Name, gateways)
	var outside []string
	for _, p := range dc.Prefixes {
		if r.check(p) != nil {
			outside = append(outside, p.CIDR.String())
		}
	}
	return outside
}

// CheckAllowable returns why the catalog refuses to allow the ranges, or nil. The field
// of the refusal is "cidrs[i]".
func CheckAllowable(ranges []netip.Prefix) *catalog.Refusal {
	for i, p := range ranges {
		r := catalog.CheckPrefix(catalog.Prefix{CIDR: p, Kind: catalog.NodePrefix})
		if r == nil {
			r = CheckLength(p)
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

// CheckLength refuses prefixes that are so short that they take the addresses that
// others need.
func CheckLength(p netip.Prefix) *catalog.Refusal {
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

// CheckLengths is CheckLength for the prefixes of a datacenter. The catalog accepts shorter
// ones of the only datacenter of a federation, but the others would not use them. The field
// of the refusal is "prefixes[i]".
func CheckLengths(prefixes []catalog.Prefix) *catalog.Refusal {
	for i, p := range prefixes {
		if r := CheckLength(p.CIDR); r != nil {
			return r.In(catalog.At("prefixes", i))
		}
	}
	return nil
}
