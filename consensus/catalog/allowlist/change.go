package allowlist

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Change returns s after a command of a feature level by dc, or why the catalog refuses
// it.
func Change(s catalog.Settings, dc catalog.DatacenterName, level uint32, body *catalogpb.AllowPrefixes) (catalog.Settings, *catalog.Refusal) {
	ranges, removed, r := catalog.AllowablePrefixes(body, level)
	if r == nil {
		r = CheckAllowable(ranges)
	}
	if r != nil {
		return s, r
	}
	next := allow(disallow(s, dc, removed), dc, ranges)
	own := 0
	for _, a := range next.Allowed {
		if a.AllowedBy == dc {
			own++
		}
	}
	if own > catalog.MaxAllowedPrefixes {
		return s, &catalog.Refusal{
			Code: catalog.CodePrefixLimit, Field: "cidrs",
			Message: fmt.Sprintf("datacenter %q would allow %d ranges, the maximum is %d", dc, own, catalog.MaxAllowedPrefixes),
			Remedy:  "allow one range in place of several",
		}
	}
	return next, nil
}

// allow returns s with ranges that dc allows the others, sorted.
func allow(s catalog.Settings, dc catalog.DatacenterName, ranges []netip.Prefix) catalog.Settings {
	s.Allowed = slices.Clone(s.Allowed)
	for _, p := range ranges {
		s.Allowed = append(s.Allowed, catalog.AllowedPrefix{CIDR: p, AllowedBy: dc})
	}
	slices.SortFunc(s.Allowed, func(a, b catalog.AllowedPrefix) int {
		return cmp.Or(a.CIDR.Compare(b.CIDR), cmp.Compare(a.AllowedBy, b.AllowedBy))
	})
	s.Allowed = slices.Compact(s.Allowed)
	return s
}

// disallow returns s without ranges that dc allowed the others.
func disallow(s catalog.Settings, dc catalog.DatacenterName, ranges []netip.Prefix) catalog.Settings {
	s.Allowed = slices.DeleteFunc(slices.Clone(s.Allowed), func(a catalog.AllowedPrefix) bool {
		return a.AllowedBy == dc && slices.Contains(ranges, a.CIDR)
	})
	return s
}
