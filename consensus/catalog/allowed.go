package catalog

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxAllowedPrefixes is how many ranges a datacenter may allow the others.
const MaxAllowedPrefixes = 64

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

// CheckAllowed returns why the catalog refuses that dc, with these gateways, announces
// p, or nil: p must be private, in a range that another datacenter allows, or of nodes
// in the network of a gateway.
func (s Settings) CheckAllowed(dc DatacenterName, gateways []Gateway, announced Prefix) *Refusal {
	p := announced.CIDR
	if r := checkLength(p); r != nil {
		return r
	}
	allowed := slices.ContainsFunc(s.Allowed, func(a AllowedPrefix) bool { return a.AllowedBy != dc && within(p, a.CIDR) })
	if allowed || isPrivate(p) || announced.Kind == NodePrefix && isNearGateway(p, gateways) {
		return nil
	}
	return &Refusal{
		Code:    CodePrefixNotAllowed,
		Message: fmt.Sprintf("prefix %s is outside the private ranges, and no other datacenter allows it", p),
		Remedy:  fmt.Sprintf("run meshctl federation allow %s on a gateway of another datacenter, or announce other prefixes", p),
	}
}

// isNearGateway reports whether p is in the network (/24, or /48 in IPv6) of an address at
// which a gateway is reached. Hosts with public addresses are often in one such network.
func isNearGateway(p netip.Prefix, gateways []Gateway) bool {
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
func CheckAllowable(ranges []netip.Prefix) *Refusal {
	for i, p := range ranges {
		r := checkPrefix(Prefix{CIDR: p, Kind: NodePrefix})
		if r == nil {
			r = checkLength(p)
		}
		if r != nil {
			return r.In(At("cidrs", i))
		}
	}
	return nil
}

// checkLength refuses prefixes that are so short that they take the addresses that
// others need.
func checkLength(p netip.Prefix) *Refusal {
	shortest := byFamily(p, 8, 16)
	if p.Bits() >= shortest {
		return nil
	}
	return &Refusal{
		Code:    CodePrefixInvalid,
		Message: fmt.Sprintf("prefix %s is too large", p),
		Remedy:  fmt.Sprintf("use prefixes of length %d or more", shortest),
	}
}

// Allow returns s with ranges that dc allows the others, sorted.
func (s Settings) Allow(dc DatacenterName, ranges []netip.Prefix) Settings {
	s.Allowed = slices.Clone(s.Allowed)
	for _, p := range ranges {
		s.Allowed = append(s.Allowed, AllowedPrefix{CIDR: p, AllowedBy: dc})
	}
	slices.SortFunc(s.Allowed, func(a, b AllowedPrefix) int {
		return cmp.Or(a.CIDR.Compare(b.CIDR), cmp.Compare(a.AllowedBy, b.AllowedBy))
	})
	s.Allowed = slices.Compact(s.Allowed)
	return s
}

// Without returns s without what dc allows.
func (s Settings) Without(dc DatacenterName) Settings {
	s.Allowed = slices.DeleteFunc(slices.Clone(s.Allowed), func(a AllowedPrefix) bool { return a.AllowedBy == dc })
	return s
}

// Clone returns a deep copy of s.
func (s Settings) Clone() Settings {
	s.Allowed = slices.Clone(s.Allowed)
	return s
}

// Proto returns the wire form.
func (s Settings) Proto() *catalogpb.Settings {
	p := &catalogpb.Settings{FeatureLevel: s.FeatureLevel, ModifiedIndex: s.ModifiedIndex}
	for _, a := range s.Allowed {
		p.Allowed = append(p.Allowed, &catalogpb.AllowedPrefix{Cidr: prefixText(a.CIDR), AllowedBy: string(a.AllowedBy)})
	}
	return p
}

// SettingsFromProto parses the wire form.
func SettingsFromProto(p *catalogpb.Settings) (Settings, error) {
	var read fieldReader
	s := Settings{FeatureLevel: p.GetFeatureLevel(), ModifiedIndex: p.GetModifiedIndex()}
	for i, a := range p.GetAllowed() {
		s.Allowed = append(s.Allowed, AllowedPrefix{
			CIDR: read.prefix(At("allowed", i), a.GetCidr()), AllowedBy: DatacenterName(a.GetAllowedBy()),
		})
	}
	return s, read.refusal.err()
}

// AllowablePrefixes parses the ranges in a command.
func AllowablePrefixes(p *catalogpb.AllowPrefixes) ([]netip.Prefix, *Refusal) {
	var read fieldReader
	var ranges []netip.Prefix
	for i, text := range p.GetCidrs() {
		ranges = append(ranges, read.prefix(At("cidrs", i), text))
	}
	if read.refusal != nil {
		return nil, read.refusal
	}
	return ranges, CheckAllowable(ranges)
}
