package interference

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// NotLookedUp returns a problem for each rule of another program that diverts or drops
// packets for which the kernel refuses a lookup: those of protocols such as SCTP, and those with
// selectors that a lookup does not have. What such a rule does follows from its content.
func (p Paths) NotLookedUp() []plan.Problem {
	s := p.scope()
	var out []plan.Problem
	for _, r := range p.Observed.ForeignRules {
		if r.LookedUp() || !p.precedes(r) || r.Mark&r.Mask != 0 || !s.concerns(r) {
			continue
		}
		for _, t := range slices.Backward(s.targets(r)) { // the one of the shortest prefix first
			if effect, some := p.effect(r, t.address); some {
				out = append(out, p.concluded(r, t.dc, t.address, effect))
				break // one datacenter is enough to name the rule
			}
		}
	}
	return out
}

// effect is what a rule does with the packets that it selects.
type effect struct {
	what string // "are dropped"
	how  string // where the rule points; empty: nowhere
}

// effect returns what a rule does with packets to an address; false: nothing.
func (p Paths) effect(r routes.ForeignRule, to netip.Addr) (effect, bool) {
	const guarded = "are dropped by Meshway's firewall"
	switch {
	case r.Drop != "":
		return effect{what: "are dropped"}, true
	case r.Goto != 0:
		return effect{what: "do not use Meshway's routes and " + guarded}, r.Goto > p.Config.Routing.RulePriority
	}
	found, ok := routes.LookupIn(p.Observed.Tables[r.Table], to, r.Shortest)
	if !ok || p.isLane(found.Device) || found.Device == "lo" {
		return effect{}, false
	}
	text := found.Text()
	if found.Via.IsValid() && found.Device != "" {
		text += " dev " + found.Device
	}
	out := effect{what: "are dropped", how: pointing(" and", text, r)}
	if found.Drop == "" {
		out.what = fmt.Sprintf("would leave on %s outside of the tunnels and %s", cmp.Or(found.Device, "other devices"), guarded)
	}
	return out, true
}

func (p Paths) concluded(r routes.ForeignRule, dc catalog.DatacenterName, to netip.Addr, e effect) plan.Problem {
	return plan.Problem{
		Code:     "traffic-diverted",
		Severity: plan.Warning,
		Subject:  plan.DatacenterSubject(dc),
		Message: fmt.Sprintf("%s to datacenter %s %s: the cause is rule %q, which precedes Meshway's rule %d%s; "+
			"the kernel looks up no such packets, so that this follows from the rule and its table",
			r.Packets(), dc, e.what, r, p.Config.Routing.RulePriority, e.how),
		Remedy: fmt.Sprintf("run %s rule del %s, or add the rule again with a priority above %d", ipCommand(to), r, p.Config.Routing.RulePriority),
	}
}

// isLane reports whether a device is one of Meshway's.
func (p Paths) isLane(device string) bool {
	number, ok := strings.CutPrefix(device, p.Config.WireGuard.Interface)
	return slices.Contains(p.Lanes, device) || ok && number != "" && strings.Trim(number, "0123456789") == ""
}
