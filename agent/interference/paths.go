package interference

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// Paths determines which lookups show whether the traffic of this host to other
// datacenters takes Meshway's routes, and what they show.
type Paths struct {
	Config      config.Config
	Host        plan.Host
	Own         []catalog.Prefix     // of the own datacenter
	Datacenters []catalog.Datacenter // the others
	Routed      []netip.Prefix       // routes.Firewall.Remote, which is aggregated
	Lanes       []string
	Sessions    []plan.SessionConfig // of liveness, between addresses of the overlay; none on a node
	Observed    routes.Observed
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
	case q.by != ruleset.Marking{}:
		return p.marked(q, found)
	case q.pods != "":
		return p.misrouted(q, found)
	case found.Blackhole || found.Table == 0:
		if problem, dropped := p.dropped(q); dropped {
			return problem, true
		}
		return p.byForeignRoute(q, found)
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
		if !p.precedes(r) || !leads(r, found) && !skips || r.Drop != "" || !r.Selects(q.Query) {
			continue
		}
		cause := fmt.Sprintf("rule %q, which precedes Meshway's rule %d", r, p.Config.Routing.RulePriority)
		remedy := fmt.Sprintf("run %s rule del %s, or add the rule again with a priority above %d", ipCommand(q.Destination), r, p.Config.Routing.RulePriority)
		if found.Prefix.IsValid() && found.Prefix.Bits() > 0 && found.Table == r.Table && found.Table != mainTable {
			cause += pointing(" and", routes.HostRoute{Prefix: found.Prefix, Device: found.Device, Via: found.Via}.Text(), r)
			remedy += fmt.Sprintf(", or run %s route del %v table %d", ipCommand(q.Destination), found.Prefix, found.Table)
		}
		return p.diverted(q, r, found, cause, remedy), true
	}
	return p.byForeignRoute(q, found)
}

// byForeignRoute returns the route of another program in Meshway's table that drops the
// packet of a query, or ends the lookup there; false: there is none.
func (p Paths) byForeignRoute(q PathQuery, found routes.Lookup) (plan.Problem, bool) {
	r, ok := p.Observed.ForeignRouteTo(q.Destination)
	if !ok || r.Drop == "" && !r.Throw {
		return plan.Problem{}, false
	}
	cause := fmt.Sprintf("route %q of another program in table %d", r.Text(), p.Config.Routing.Table)
	remedy := fmt.Sprintf("run %s route del %s table %d", ipCommand(q.Destination), r.Text(), p.Config.Routing.Table)
	if found.Device != "" {
		return p.diverted(q, routes.ForeignRule{}, found, cause, remedy), true
	}
	return plan.Problem{
		Code:     "traffic-diverted",
		Severity: plan.Error,
		Subject:  plan.DatacenterSubject(q.Datacenter),
		Message:  fmt.Sprintf("packets to datacenter %s are dropped: the cause is %s", q.Datacenter, cause),
		Remedy:   remedy,
	}, true
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
	where := fmt.Sprintf("would leave on %s outside of the tunnels and are dropped", found.Device)
	if slices.Contains(p.Lanes, found.Device) {
		where = fmt.Sprintf("leave on %s whether or not its gateway works", found.Device)
	}
	return plan.Problem{
		Code:     "traffic-diverted",
		Severity: plan.Error,
		Subject:  plan.DatacenterSubject(q.Datacenter),
		Message:  fmt.Sprintf("%s to datacenter %s %s: the cause is %s", packetsOf(by), q.Datacenter, where, cause),
		Remedy:   remedy,
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
