package interference

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// maxRuleQueries bounds the lookups that the rules and routes of other programs
// cause.
const maxRuleQueries = 16

// Paths determines which lookups show whether the traffic of this host to other
// datacenters takes Meshway's routes, and what they show.
type Paths struct {
	Config      config.Config
	Host        plan.Host
	Own         []catalog.Prefix     // of the own datacenter
	Datacenters []catalog.Datacenter // the others
	Routed      []netip.Prefix       // routes.Firewall.Remote, which is aggregated
	Lanes       []string
	Observed    routes.Observed
}

// PathQuery is one lookup.
type PathQuery struct {
	Datacenter catalog.DatacenterName
	routes.Query
	// pods is the device by which a packet that arrives on a lane has to leave; empty: the
	// packet is for the datacenter.
	pods string
}

// pods has a pod of this host of each family, if there is one.
type pods map[routes.Family]pod

type pod struct {
	device  string // to the pod
	address netip.Addr
	network netip.Prefix // of the pods on the device
}

func (p Paths) pods() pods {
	out := pods{}
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		if found, ok := p.pod(f); ok {
			out[f] = found
		}
	}
	return out
}

// Queries returns two lookups for each datacenter and family, for a packet of a
// pod and one of this host, and those for which a rule or route of another program
// may apply although it does not to these, or drop the packet.
func (p Paths) Queries() []PathQuery {
	from := p.pods()
	var out []PathQuery
	for _, dc := range p.Datacenters {
		for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
			if i := slices.IndexFunc(dc.Prefixes, func(c catalog.Prefix) bool {
				return routes.FamilyOf(c.CIDR.Addr()) == f && prefixset.CoveredBy(p.Routed, c.CIDR)
			}); i >= 0 {
				out = append(out, from.queries(dc.Name, inside(dc.Prefixes[i].CIDR))...)
			}
		}
	}
	bound := len(out) + maxRuleQueries
	for _, r := range p.Observed.Foreign {
		if len(out) >= bound {
			break
		}
		out = append(out, p.narrow(from, routes.ForeignRule{Family: routes.FamilyOf(r.Prefix.Addr()), Selector: routes.Selector{To: r.Prefix}})...)
	}
	for _, r := range p.Observed.ForeignRules {
		if len(out) >= bound {
			break
		}
		if p.precedesMain(r) && (r.To.IsValid() || r.From.IsValid() || r.In != "" || r.Out != "" || r.Some()) {
			out = append(out, p.narrow(from, r)...)
		}
	}
	out = out[:min(len(out), bound)]
	for _, q := range p.dropQueries(from) {
		if !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	return out
}

// queries returns the lookups to one address.
func (p pods) queries(dc catalog.DatacenterName, to netip.Addr) []PathQuery {
	out := []PathQuery{{Datacenter: dc, Query: routes.Query{Destination: to}}}
	if from, ok := p[routes.FamilyOf(to)]; ok {
		out = append(out, PathQuery{Datacenter: dc, Query: routes.Query{Destination: to, Source: from.address, In: from.device}})
	}
	return out
}

// narrow returns the lookups of packets that a rule selects, to the first datacenter
// that it is for, and of those that arrive from there.
func (p Paths) narrow(pods pods, r routes.ForeignRule) []PathQuery {
	var out []PathQuery
	if dc, address, ok := p.target(r); ok {
		out = pods.queries(dc, address)
		if from, ok := pods[r.Family].within(r); ok && !p.isLane(r.In) {
			out = append(out, PathQuery{Datacenter: dc, Query: routes.Query{Destination: address, Source: from.address, In: from.device}})
		}
	}
	out = append(out, p.arriving(pods, r)...)
	for i := range out {
		out[i].Query = r.Narrow(out[i].Query, r.Not)
	}
	return out
}

// target returns an address of the first datacenter for which a rule is.
func (p Paths) target(r routes.ForeignRule) (catalog.DatacenterName, netip.Addr, bool) {
	for _, dc := range p.Datacenters {
		for _, own := range dc.Prefixes {
			if routes.FamilyOf(own.CIDR.Addr()) != r.Family || r.To.IsValid() && !r.To.Overlaps(own.CIDR) {
				continue
			}
			address := inside(own.CIDR)
			if r.To.IsValid() {
				address = inside(longer(r.To, own.CIDR))
			}
			if prefixset.CoveredBy(p.Routed, netip.PrefixFrom(address, address.BitLen())) {
				return dc.Name, address, true
			}
		}
	}
	return "", netip.Addr{}, false
}

// within returns a pod with an address and device that a rule selects; false: the rule
// is for all, or there is no pod.
func (p pod) within(r routes.ForeignRule) (pod, bool) {
	if !p.address.IsValid() || !r.From.IsValid() && r.In == "" {
		return pod{}, false
	}
	if r.From.IsValid() && !r.From.Contains(p.address) {
		p.address = inside(r.From)
	}
	if r.In != "" {
		p.device = r.In
	}
	return p, true
}

// pod returns a device to pods of this host and a source address behind it.
func (p Paths) pod(f routes.Family) (pod, bool) {
	ofPods := func(prefix netip.Prefix) bool {
		return routes.FamilyOf(prefix.Addr()) == f && slices.ContainsFunc(p.Own, func(own catalog.Prefix) bool {
			return own.Kind == catalog.PodPrefix && own.CIDR.Overlaps(prefix) && own.CIDR.Bits() <= prefix.Bits()
		})
	}
	for _, l := range p.Host.Links {
		for _, prefix := range l.Prefixes {
			if !ofPods(prefix) {
				continue
			}
			for a := inside(prefix); prefix.Contains(a); a = a.Next() {
				if !slices.Contains(p.Host.Addresses, a) {
					return pod{l.Device, a, prefix.Masked()}, true
				}
			}
		}
	}
	for _, r := range p.Host.Routes {
		if r.MayBeLocal() && r.Device != "" && ofPods(r.Prefix) && !slices.Contains(p.Host.Addresses, inside(r.Prefix)) {
			return pod{r.Device, inside(r.Prefix), r.Prefix}, true
		}
	}
	return pod{}, false
}

// precedes reports whether a rule is looked up before Meshway's.
func (p Paths) precedes(r routes.ForeignRule) bool {
	return r.Priority <= p.Config.Routing.RulePriority
}

// Problem returns why the packet of a query does not take a route of Meshway;
// false: it does, or Meshway's entries are only missing for now. A lookup without
// a table found no route.
func (p Paths) Problem(q PathQuery, found routes.Lookup) (plan.Problem, bool) {
	switch {
	case q.pods != "":
		return p.misrouted(q, found)
	case found.Blackhole || found.Table == 0:
		return p.dropped(q)
	case found.Device == "lo", found.Table == routes.NodesTable(p.Config.Routing.Table):
		return plan.Problem{}, false
	case found.Table == p.Config.Routing.Table:
		if found.Nexthop != 0 && routes.OwnNexthop(found.Nexthop) {
			return plan.Problem{}, false
		}
		return p.diverted(q, routes.ForeignRule{}, found, fmt.Sprintf("route %v of another program in table %d", found.Prefix, found.Table),
			fmt.Sprintf("run %s route del %v table %d", ipCommand(q.Destination), found.Prefix, found.Table)), true
	}
	for _, r := range p.Observed.ForeignRules {
		skips := r.Goto > p.Config.Routing.RulePriority
		if p.precedes(r) && (leads(r, found) || skips) && r.Drop == "" && r.Selects(q.Query) {
			return p.diverted(q, r, found, fmt.Sprintf("rule %q, which precedes Meshway's rule %d", r, p.Config.Routing.RulePriority),
				fmt.Sprintf("run %s rule del %s, or add the rule again with a priority above %d", ipCommand(q.Destination), r, p.Config.Routing.RulePriority)), true
		}
	}
	return plan.Problem{}, false
}

// leads reports whether a rule may have led to the route of a lookup. That of a VRF is in
// no table that a rule names.
func leads(r routes.ForeignRule, found routes.Lookup) bool {
	if r.L3Master && r.Table == 0 {
		return found.Table < unspecifiedTables || found.Table > localTable
	}
	return r.Table == found.Table && (r.Shortest == 0 || found.Prefix.Bits() >= r.Shortest)
}

// The tables from unspecifiedTables to localTable are those of the kernel.
const (
	unspecifiedTables = 252
	localTable        = 255
)

// packetsOf returns how many of the packets between two addresses a rule is for.
func packetsOf(r routes.ForeignRule) string {
	if r.Some() {
		return "some packets"
	}
	return "packets"
}

// diverted names the same problem for each query that has the same cause.
func (p Paths) diverted(q PathQuery, by routes.ForeignRule, found routes.Lookup, cause, remedy string) plan.Problem {
	return plan.Problem{
		Code:     "traffic-diverted",
		Severity: plan.Error,
		Subject:  "datacenter " + string(q.Datacenter),
		Message: fmt.Sprintf("%s to datacenter %s would leave on %s outside of the tunnels and are dropped: the cause is %s",
			packetsOf(by), q.Datacenter, found.Device, cause),
		Remedy: remedy,
	}
}

// inside returns an address in a prefix: the first after that of the network.
func inside(p netip.Prefix) netip.Addr {
	if a := p.Masked().Addr().Next(); p.Contains(a) {
		return a
	}
	return p.Masked().Addr()
}

func longer(a, b netip.Prefix) netip.Prefix {
	if a.Bits() > b.Bits() {
		return a
	}
	return b
}

func ipCommand(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip -6"
}
