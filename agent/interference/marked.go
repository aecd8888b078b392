package interference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// maxMarkedQueries bounds the lookups of packets that rules of other programs mark.
const maxMarkedQueries = 32

// MarkedQueries returns the lookups of packets of pods and of this host with the marks that
// rules of other programs give them, of which a policy rule may apply to none without a
// mark.
func (f Filters) MarkedQueries() []PathQuery {
	var out []PathQuery
	for _, fl := range f.flows() {
		if fl.purpose != fromPods && fl.purpose != toPods && fl.purpose != fromHost {
			continue
		}
		for _, by := range f.Others.Markings(fl.packet) {
			if by.Unknown != 0 {
				continue
			}
			q := PathQuery{Datacenter: fl.datacenter, by: by, Query: routes.Query{Destination: fl.packet.Destination, Mark: by.Mark}}
			if fl.purpose != fromHost {
				q.Source, q.In = fl.packet.Source, fl.packet.In[0]
			}
			if fl.purpose == toPods {
				q.pods = fl.packet.Out[0]
			}
			if !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
		if len(out) >= maxMarkedQueries {
			return out[:maxMarkedQueries]
		}
	}
	return out
}

// UnknownMarks returns a problem for each rule of another program that gives packets a mark
// which is not known, and with which a policy rule may apply to them.
func (f Filters) UnknownMarks() []plan.Problem {
	var out []plan.Problem
	for _, fl := range f.flows() {
		if fl.purpose != fromPods && fl.purpose != toPods && fl.purpose != fromHost {
			continue
		}
		for _, by := range f.Others.Markings(fl.packet) {
			family := routes.FamilyOf(fl.packet.Destination)
			i := slices.IndexFunc(f.Observed.ForeignRules, func(r routes.ForeignRule) bool {
				return r.Family == family && r.Mask&by.Unknown != 0 && f.precedes(r)
			})
			why := fmt.Sprintf("with routing.mark %#x they do not use Meshway's routes", f.Config.Routing.Mark)
			switch {
			case i >= 0:
				why = fmt.Sprintf("rule %q, which precedes Meshway's rule %d, may apply to them", f.Observed.ForeignRules[i], f.Config.Routing.RulePriority)
			case by.Unknown&f.Config.Routing.Mark == 0:
				continue
			}
			problem := plan.Problem{
				Code: "traffic-diverted", Severity: plan.Warning, Subject: "datacenter " + string(fl.datacenter),
				Message: fmt.Sprintf("%s may get a mark from %s; it is not known which, and %s", fl.purpose, by, why),
				Remedy:  unmarking(by),
			}
			if !slices.Contains(out, problem) && len(out) < maxNamed {
				out = append(out, problem)
			}
		}
	}
	return out
}

// marked returns why a packet with a mark does not take a route of Meshway; false: it does.
// Packets with routing.mark skip Meshway's rule.
func (p Paths) marked(q PathQuery, found routes.Lookup) (plan.Problem, bool) {
	by := q.by
	q.by = ruleset.Marking{}
	problem, wrong := p.Problem(q, found)
	switch skips := q.Mark&p.Config.Routing.Mark != 0; {
	case wrong:
		problem.Message += fmt.Sprintf("; the packets get the mark %#x from %s", q.Mark, by)
		problem.Remedy += ", or " + unmarking(by)
	case !skips || q.pods != "" || found.Device == "lo" || found.Table == p.Config.Routing.Table:
		return plan.Problem{}, false
	default:
		where := "are dropped"
		if found.Device != "" {
			where = fmt.Sprintf("would leave on %s outside of the tunnels and are dropped", found.Device)
		}
		problem = plan.Problem{
			Code:     "traffic-diverted",
			Severity: plan.Error,
			Subject:  plan.DatacenterSubject(q.Datacenter),
			Message: fmt.Sprintf("packets to datacenter %s %s: the cause is %s, which gives them the mark %#x, and packets with routing.mark %#x do not use Meshway's routes",
				q.Datacenter, where, by, q.Mark, p.Config.Routing.Mark),
			Remedy: unmarking(by) + ", or set routing.mark to a bit that no other program sets",
		}
	}
	if by.Doubtful {
		problem.Severity = plan.Warning
		problem.Message += "; only connections that have the mark are concerned, and nothing states which have it"
	}
	if by.Some && !strings.HasPrefix(problem.Message, "some ") {
		problem.Message = "some " + problem.Message
	}
	return problem, true
}

// unmarking returns what lets packets pass without a mark.
func unmarking(by ruleset.Marking) string {
	if by.Handle == 0 {
		return "exclude the prefixes of other datacenters from " + by.String()
	}
	return fmt.Sprintf("run nft delete rule %s handle %d, or exclude the prefixes of other datacenters from it", by.In, by.Handle)
}
