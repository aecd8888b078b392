package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestProcessThatHasThePortOfLivenessIsReportedInsteadOfItsConsequences(t *testing.T) {
	in := federation()
	in.Config.Liveness.Port = 3784
	for _, id := range []string{"north/a", "west/a", "west/b"} {
		in.Observed.Sessions = append(in.Observed.Sessions, plan.Session{Gateway: catalog.GatewayID(id), PortOwner: "process 77 (bfdd)"})
	}
	_, problems := gatewayplan.Compute(in)
	var found []plan.Problem
	for _, p := range problems {
		assert.NotContains(t, []string{"cut-off", "datacenter-unreachable", "gateway-unreachable"}, p.Code)
		if p.Code == "liveness-port-in-use" {
			found = append(found, p)
		}
	}
	assert.Equal(t, []plan.Problem{{
		Code: "liveness-port-in-use", Severity: plan.Error, Subject: "gateway east/a",
		Message: "gateway east/a cannot check its tunnels, so that none is used: UDP port 3784 is in use by process 77 (bfdd)",
		Remedy:  "stop that process, or set liveness.port to the same other port on all gateways of the federation",
	}}, found)
}
