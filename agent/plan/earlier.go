package plan

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// maxEarlier bounds the ranges that are remembered.
const maxEarlier = 4096

// Earlier remembers which ranges the rules of other programs led elsewhere before another
// datacenter announced them. Those stay local; a route that is added to an announced range
// afterwards takes nothing away from it. It is a value: Next returns the one of the next pass.
type Earlier struct {
	records []catalog.Datacenter // of the pass before
	claimed []netip.Prefix       // what other datacenters announce, or did lately, in the pass before; aggregated
	final   bool                 // claimed is what records announce
	ranges  []netip.Prefix       // sorted
	known   bool                 // what was before is
}

// Next returns what is remembered for the next pass, of the policy routes of this one. Until
// the catalog is complete, nothing counts as announced no more.
func (e Earlier) Next(own catalog.DatacenterName, records []catalog.Datacenter, withdrawn []Withdrawn, policy []routes.HostRoute, synced bool) Earlier {
	after := Earlier{records: records, claimed: e.claimed, final: synced && len(withdrawn) == 0, known: e.known}
	if !e.final || !after.final || !slices.EqualFunc(e.records, records, samePrefixes) {
		after.claimed = claims(own, records, withdrawn)
		if !synced {
			after.claimed = prefixset.Union(e.claimed, after.claimed)
		}
	}
	for _, p := range e.ranges {
		if prefixset.CoveredBy(after.claimed, p) {
			after.ranges = append(after.ranges, p)
		}
	}
	for _, r := range policy {
		if len(after.ranges) < maxEarlier && prefixset.CoveredBy(after.claimed, r.Prefix) && !prefixset.CoveredBy(e.claimed, r.Prefix) {
			after.ranges = append(after.ranges, r.Prefix)
		}
	}
	slices.SortFunc(after.ranges, netip.Prefix.Compare)
	after.ranges = slices.Compact(after.ranges)
	return after
}

// claims returns what other datacenters announce, or did lately, aggregated.
func claims(own catalog.DatacenterName, records []catalog.Datacenter, withdrawn []Withdrawn) []netip.Prefix {
	var out []netip.Prefix
	for _, dc := range records {
		for _, p := range dc.Prefixes {
			if dc.Name != own {
				out = append(out, p.CIDR)
			}
		}
	}
	for _, w := range withdrawn {
		out = append(out, w.Prefix.CIDR)
	}
	return prefixset.Aggregate(out)
}

// Of returns the routes to the ranges that are remembered.
func (e Earlier) Of(policy []routes.HostRoute) []routes.HostRoute {
	var out []routes.HostRoute
	for _, r := range policy {
		if _, known := slices.BinarySearchFunc(e.ranges, r.Prefix, netip.Prefix.Compare); known {
			out = append(out, r)
		}
	}
	return out
}

// EarlierRecord is what is stored of Earlier over restarts.
type EarlierRecord struct {
	Ranges    []netip.Prefix `json:"ranges,omitempty"`    // sorted
	Announced []netip.Prefix `json:"announced,omitempty"` // by other datacenters, aggregated
}

// Equal reports whether both are the same.
func (r EarlierRecord) Equal(other EarlierRecord) bool {
	return slices.Equal(r.Ranges, other.Ranges) && slices.Equal(r.Announced, other.Announced)
}

// NewEarlier returns what is remembered at the start of a process: what was stored, and
// that what Meshway routes already was announced.
func NewEarlier(stored EarlierRecord, routed []netip.Prefix) Earlier {
	return Earlier{ranges: stored.Ranges, claimed: prefixset.Aggregate(slices.Concat(stored.Announced, routed)), known: true}
}

// Known reports whether what a former process left was read.
func (e Earlier) Known() bool { return e.known }

// Record returns what is to be stored.
func (e Earlier) Record() EarlierRecord {
	return EarlierRecord{Ranges: e.ranges, Announced: e.claimed}
}

func samePrefixes(a, b catalog.Datacenter) bool {
	return a.Name == b.Name && slices.Equal(a.Prefixes, b.Prefixes)
}
