package interference

import (
	"fmt"
	"strings"

	"github.com/meshway/meshway/agent/plan"
)

// maxNamed bounds the rules that a problem names.
const maxNamed = 3

// UnencryptedDropped returns the problem of a host whose firewall drops packets to
// other datacenters that were about to leave it outside of the tunnels. It names the rules
// that apply to marked packets: the lookups are of unmarked ones.
func (p Paths) UnencryptedDropped() plan.Problem {
	remedy := "find the rule, route or mark of another program that applies to them (ip rule; ip route get ADDRESS from SOURCE iif DEVICE; nft list ruleset), " +
		"and remove it or exclude the prefixes of other datacenters from it"
	var marked []string
	for _, r := range p.Observed.ForeignRules {
		if p.precedes(r) && r.Drop == "" && r.Mark&r.Mask != 0 && !r.Not && len(marked) < maxNamed {
			marked = append(marked, fmt.Sprintf("%q", r))
		}
	}
	if len(marked) > 0 {
		remedy += "; first look for what sets the mark of rule " + strings.Join(marked, " or ")
	}
	return plan.Problem{
		Code:     "unencrypted-dropped",
		Severity: plan.Error,
		Subject:  "this host",
		Message:  "packets to other datacenters were about to leave this host unencrypted and are dropped: another program routes or marks them",
		Remedy:   remedy,
	}
}
