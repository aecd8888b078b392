package interference

import (
	"fmt"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/routes"
)

// mainPriority is that of the kernel's rule for mainTable, which has the routes to pods.
const (
	mainPriority = 32766
	mainTable    = 254
)

// precedesMain reports whether a rule is looked up before the routes to pods.
func (p Paths) precedesMain(r routes.ForeignRule) bool {
	return p.precedes(r) || len(p.Lanes) > 0 && r.Priority < mainPriority
}

// arriving returns the lookup of a packet that arrives on a lane for a pod of this host, as
// a rule selects it; none if the rule is for other packets.
func (s scope) arriving(r routes.ForeignRule) []PathQuery {
	to, ok := s.pods.first(r.Family)
	if len(s.Lanes) == 0 || !ok || !r.Not && (r.To.IsValid() && !r.To.Contains(to.address) || r.In != "" && !s.isLane(r.In) || r.Out != "") {
		return nil
	}
	lane := s.Lanes[0]
	if s.isLane(r.In) {
		lane = r.In
	}
	for _, each := range s.remotes {
		if each.source.IsValid() || routes.FamilyOf(each.prefix.Addr()) != r.Family || r.From.IsValid() && !r.From.Overlaps(each.prefix) || !prefixset.CoveredBy(s.Routed, each.prefix) {
			continue
		}
		source := inside(each.prefix)
		if r.From.IsValid() {
			source = inside(longer(r.From, each.prefix))
		}
		return []PathQuery{{Datacenter: each.dc, Query: routes.Query{Destination: to.address, Source: source, In: lane}, pods: to.device}}
	}
	return nil
}

// misrouted returns the rule of another program because of which a packet that arrives on a
// lane does not reach the pods of this host; false: it does, or the host's own routes
// are the cause.
func (p Paths) misrouted(q PathQuery, found routes.Lookup) (plan.Problem, bool) {
	dropped := found.Blackhole || found.Table == 0
	if !dropped && (found.Device == q.pods || found.Device == "lo") {
		return plan.Problem{}, false
	}
	for _, r := range p.Observed.ForeignRules {
		how, cause := "", leads(r, found) && r.Drop == "" && r.Selects(q.Query)
		if dropped {
			how, cause = p.drops(r, q.Query)
			cause = cause && r.Table != mainTable // without the rule, its routes apply as well
		}
		if !cause || r.Priority >= mainPriority {
			continue
		}
		what := "would leave on " + found.Device
		if dropped {
			what = "are dropped"
		}
		return plan.Problem{
			Code:     "traffic-diverted",
			Severity: plan.Error,
			Subject:  plan.DatacenterSubject(q.Datacenter),
			Message:  fmt.Sprintf("%s from datacenter %s to pods of this host %s: the cause is rule %q%s", packetsOf(r), q.Datacenter, what, r, pointing(", which", how, r)),
			Remedy:   fmt.Sprintf("run %s rule del %s, or exclude the packets from it", ipCommand(q.Destination), r),
		}, true
	}
	return plan.Problem{}, false
}
