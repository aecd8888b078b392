package interference

import (
	"slices"

	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// The bounds of the lookups beside those for each datacenter.
const (
	maxRuleQueries    = 16 // that a rule or route of another program causes
	maxAllRuleQueries = 64 // that all of them cause
)

// PathQuery is one lookup.
type PathQuery struct {
	Datacenter catalog.DatacenterName
	routes.Query
	// pods is the device by which a packet that arrives on a lane has to leave; empty: the
	// packet is for the datacenter.
	pods string
	// by is the rule that has given the packet its mark, if it has one.
	by ruleset.Marking
}

// Queries returns two lookups for each datacenter and family, for a packet of a
// pod and one of this host, one for the overlay, and those for which a rule or route of
// another program may apply although it does not to these.
func (p Paths) Queries() []PathQuery {
	s := p.scope()
	var out []PathQuery
	add := func(found []PathQuery) {
		for _, q := range found {
			if !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	for _, dc := range p.Datacenters {
		for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
			if i := slices.IndexFunc(dc.Prefixes, func(c catalog.Prefix) bool {
				return routes.FamilyOf(c.CIDR.Addr()) == f && prefixset.CoveredBy(p.Routed, c.CIDR)
			}); i >= 0 {
				out = append(out, s.packets(routes.ForeignRule{Family: f}, target{dc: dc.Name, address: inside(dc.Prefixes[i].CIDR)})...)
			}
		}
	}
	if i := slices.IndexFunc(s.remotes, func(r remote) bool { return r.source.IsValid() }); i >= 0 {
		r := s.remotes[i]
		out = append(out, PathQuery{Datacenter: r.dc, Query: routes.Query{Destination: r.prefix.Addr(), Source: r.source}})
	}
	bound := len(out) + maxAllRuleQueries
	for _, r := range p.Observed.Foreign {
		if len(out) < bound {
			add(s.narrow(routes.ForeignRule{Family: routes.FamilyOf(r.Prefix.Addr()), Selector: routes.Selector{To: r.Prefix}}))
		}
	}
	for _, r := range p.Observed.ForeignRules {
		if len(out) < bound && p.precedesMain(r) {
			add(s.narrow(r))
		}
	}
	return out[:min(len(out), bound)]
}

// narrow returns the lookups of packets that a rule selects, to the datacenters that it is
// for, and of those that arrive from there.
func (s scope) narrow(r routes.ForeignRule) []PathQuery {
	if r.Mark&r.Mask != 0 && !r.Not {
		return nil // the packets have no mark
	}
	var out []PathQuery
	if s.precedes(r) {
		for _, t := range s.targets(r) {
			out = append(out, s.packets(r, t)...)
		}
	}
	out = append(out, s.arriving(r)...)
	for i := range out {
		out[i].Query = r.Narrow(out[i].Query, r.Not)
	}
	return out[:min(len(out), maxRuleQueries)]
}

// packets returns the lookups to an address of packets of this host and of a pod, as far as
// a rule selects them. A rule that applies to what it does not select is for all.
func (s scope) packets(r routes.ForeignRule, t target) []PathQuery {
	if r.Not {
		r.Selector = routes.Selector{}
	}
	if t.source.IsValid() {
		if r.In != "" && r.In != "lo" || r.Out != "" && !s.isLane(r.Out) || r.From.IsValid() && !r.From.Contains(t.source) {
			return nil
		}
		return []PathQuery{{Datacenter: t.dc, Query: routes.Query{Destination: t.address, Source: t.source}}}
	}
	var out []PathQuery
	if source, ok := s.ownAddress(r); ok {
		out = append(out, PathQuery{Datacenter: t.dc, Query: routes.Query{Destination: t.address, Source: source}})
	}
	if from, ok := s.within(r); ok && r.Out == "" {
		out = append(out, PathQuery{Datacenter: t.dc, Query: routes.Query{Destination: t.address, Source: from.address, In: from.device}})
	}
	return out
}
