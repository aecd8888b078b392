package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func TestGroupsOfNewerVerdictsAreThoseOfTheNextPlan(t *testing.T) {
	narrow := func() plan.Inputs {
		in := running()
		in.Observed.PathMTUs = map[catalog.GatewayID]int{"west/a": 1328}
		return in
	}
	for name, inputs := range map[string]func() plan.Inputs{"alone": running, "siblings": sharing, "narrow path": narrow} {
		for _, lost := range [][]catalog.GatewayID{nil, {"west/a"}, {"west/a", "west/b"}, {"north/a"}} {
			before, _ := gatewayplan.Compute(inputs())
			in := inputs()
			fail(&in, lost...)
			in.Now = in.Now.Add(time.Second)
			next, _ := gatewayplan.Compute(in)
			assert.Equal(t, next.Routes.Groups, gatewayplan.Regroup(in, before.Routes), "%s, without %v", name, lost)
			assert.Equal(t, before.Routes.Groups, gatewayplan.Regroup(inputs(), before.Routes), "%s: nothing has changed", name)
		}
	}
}

func TestAGroupStaysWhileANexthopOfItsMembersIsMissing(t *testing.T) {
	in := running()
	fail(&in, "west/a")
	before, _ := gatewayplan.Compute(in)
	before.Routes.Nexthops = before.Routes.Nexthops[:0]
	assert.Equal(t, before.Routes.Groups, gatewayplan.Regroup(running(), before.Routes))
}

func TestGroupsStayWhileTheRecordOfTheGatewayIsMissing(t *testing.T) {
	in := running()
	before, _ := gatewayplan.Compute(in)
	in.Self = "east/z"
	assert.Equal(t, before.Routes.Groups, gatewayplan.Regroup(in, before.Routes))
	assert.Empty(t, gatewayplan.Regroup(running(), routes.Config{}))
}
