package catalog

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxAllowedPrefixes is how many ranges a datacenter may allow the others.
const MaxAllowedPrefixes = 64

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

// Disallow returns s without ranges that dc allowed the others.
func (s Settings) Disallow(dc DatacenterName, ranges []netip.Prefix) Settings {
	s.Allowed = slices.DeleteFunc(slices.Clone(s.Allowed), func(a AllowedPrefix) bool {
		return a.AllowedBy == dc && slices.Contains(ranges, a.CIDR)
	})
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

// AllowablePrefixes parses the ranges in a command of a feature level, and those that it
// removes. Builds below levelDisallow ignore the latter.
func AllowablePrefixes(p *catalogpb.AllowPrefixes, level uint32) (ranges, removed []netip.Prefix, r *Refusal) {
	var read fieldReader
	for i, text := range p.GetCidrs() {
		ranges = append(ranges, read.prefix(At("cidrs", i), text))
	}
	if level < levelDisallow {
		return ranges, nil, read.refusal
	}
	for i, text := range p.GetRemoved() {
		removed = append(removed, read.prefix(At("removed", i), text))
	}
	return ranges, removed, read.refusal
}
