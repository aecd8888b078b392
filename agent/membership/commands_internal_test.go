package membership

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
)

func TestJoinNamesTheGatewaysToWhichNoTunnelIsPossible(t *testing.T) {
	other := plan.Problem{Code: "gateway-unreachable", Message: "other", Remedy: "wait"}
	four := plan.Problem{Code: gatewayplan.CodeNoCommonFamily, Message: "no tunnel to four", Remedy: "give it an address"}
	five := plan.Problem{Code: gatewayplan.CodeNoCommonFamily, Message: "no tunnel to five", Remedy: "give it an address"}
	assert.Empty(t, unreachableForever(nil))
	assert.Empty(t, unreachableForever([]plan.Problem{other}))
	assert.Equal(t, "no tunnel to four: give it an address", unreachableForever([]plan.Problem{other, four}))
	assert.Equal(t, "no tunnel to four: give it an address; meshctl status lists 2 such gateways", unreachableForever([]plan.Problem{four, other, five}))
}
