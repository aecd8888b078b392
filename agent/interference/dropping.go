package interference

import (
	"fmt"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// drops reports whether a rule drops the packet of a query, which is known to be dropped
// by a rule or route. how is the route of the rule's table that does; empty: the rule
// itself. A rule with selectors that the query does not have may not be the cause.
func (p Paths) drops(r routes.ForeignRule, q routes.Query) (how string, ok bool) {
	if r.Uncertain() || !r.Selects(q) {
		return "", false
	}
	if r.Drop != "" {
		return "", true
	}
	found, ok := routes.LookupIn(p.Observed.Tables[r.Table], q.Destination, r.Shortest)
	if !ok || found.Drop == "" {
		return "", false
	}
	return found.Text(), true
}

// pointing is the part of a message that names the route of a rule, after a conjunction.
func pointing(conjunction, to string, r routes.ForeignRule) string {
	if to == "" {
		return ""
	}
	return fmt.Sprintf("%s points to route %q of table %d", conjunction, to, r.Table)
}

// dropped returns the rule of another program that drops the packet of a query, before
// Meshway's routes are looked up; false: there is none.
func (p Paths) dropped(q PathQuery) (plan.Problem, bool) {
	for _, r := range p.Observed.ForeignRules {
		how, drops := p.drops(r, q.Query)
		if !drops || !p.precedes(r) {
			continue
		}
		remedy := fmt.Sprintf("run %s rule del %s, or add the rule again with a priority above %d", ipCommand(q.Destination), r, p.Config.Routing.RulePriority)
		if how != "" {
			remedy += fmt.Sprintf(", or run %s route del %s table %d", ipCommand(q.Destination), how, r.Table)
		}
		return plan.Problem{
			Code:     "traffic-diverted",
			Severity: plan.Error,
			Subject:  plan.DatacenterSubject(q.Datacenter),
			Message: fmt.Sprintf("%s to datacenter %s are dropped: the cause is rule %q, which precedes Meshway's rule %d%s",
				packetsOf(r), q.Datacenter, r, p.Config.Routing.RulePriority, pointing(" and", how, r)),
			Remedy: remedy,
		}, true
	}
	return plan.Problem{}, false
}
