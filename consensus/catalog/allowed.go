package catalog

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxAllowedPrefixes is how many ranges a datacenter may allow the others.
const MaxAllowedPrefixes = 64

// Clone returns a deep copy of s.
func (s Settings) Clone() Settings {
	s.Allowed, s.Limits = slices.Clone(s.Allowed), slices.Clone(s.Limits)
	s.Budgets, s.Removals = slices.Clone(s.Budgets), slices.Clone(s.Removals)
	return s
}

// Proto returns the wire form.
func (s Settings) Proto() *catalogpb.Settings {
	p := &catalogpb.Settings{FeatureLevel: s.FeatureLevel, ModifiedIndex: s.ModifiedIndex}
	for _, a := range s.Allowed {
		p.Allowed = append(p.Allowed, &catalogpb.AllowedPrefix{Cidr: prefixText(a.CIDR), AllowedBy: string(a.AllowedBy)})
	}
	for _, l := range s.Limits {
		p.Limits = append(p.Limits, &catalogpb.Limit{Resource: l.Resource, Most: l.Most, SetBy: string(l.SetBy)})
	}
	for _, b := range s.Budgets {
		p.Budgets = append(p.Budgets, &catalogpb.Budget{Datacenter: string(b.Datacenter), Kind: b.Kind, Until: timeProto(b.Until)})
	}
	for _, r := range s.Removals {
		p.Removals = append(p.Removals, &catalogpb.RemovalRequest{Datacenter: string(r.Datacenter), By: string(r.By), At: timeProto(r.At)})
	}
	return p
}

// SettingsFromProto parses the wire form.
func SettingsFromProto(p *catalogpb.Settings) (Settings, error) {
	var read fieldReader
	s := Settings{FeatureLevel: p.GetFeatureLevel(), ModifiedIndex: p.GetModifiedIndex(), Limits: LimitsFromProto(p.GetLimits())}
	for i, a := range p.GetAllowed() {
		s.Allowed = append(s.Allowed, AllowedPrefix{
			CIDR: read.prefix(At("allowed", i), a.GetCidr()), AllowedBy: DatacenterName(a.GetAllowedBy()),
		})
	}
	for i, b := range p.GetBudgets() {
		s.Budgets = append(s.Budgets, Budget{
			Datacenter: DatacenterName(b.GetDatacenter()), Kind: b.GetKind(), Until: read.time(At("budgets", i), b.GetUntil()),
		})
	}
	for i, r := range p.GetRemovals() {
		s.Removals = append(s.Removals, RemovalRequest{
			Datacenter: DatacenterName(r.GetDatacenter()), By: DatacenterName(r.GetBy()), At: read.time(At("removals", i), r.GetAt()),
		})
	}
	return s, read.refusal.err()
}

// LimitsFromProto parses the wire form.
func LimitsFromProto(limits []*catalogpb.Limit) (list []Limit) {
	for _, l := range limits {
		list = append(list, Limit{Resource: l.GetResource(), Most: l.GetMost(), SetBy: DatacenterName(l.GetSetBy())})
	}
	return list
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
