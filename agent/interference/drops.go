package interference

import "github.com/meshway/meshway/agent/plan"

// UnencryptedDropped returns the problem of a host whose firewall drops packets to
// other datacenters that were about to leave it outside of the tunnels.
func UnencryptedDropped() plan.Problem {
	return plan.Problem{
		Code:     "unencrypted-dropped",
		Severity: plan.Error,
		Subject:  "this host",
		Message:  "packets to other datacenters were about to leave this host unencrypted and are dropped: another program routes or marks them",
		Remedy: "find the rule, route or mark of another program that applies to them (ip rule; ip route get ADDRESS from SOURCE iif DEVICE; nft list ruleset), " +
			"and remove it or exclude the prefixes of other datacenters from it",
	}
}
