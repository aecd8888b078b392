package membership

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestPrefixesOfAClusterThatOthersWouldNotUseAreRefused(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/7", "2600::/12"} {
		simulate(t, func(c *Config) {
			c.Site = dataplane.StaticSite([]catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}, {CIDR: netip.MustParsePrefix(cidr), Kind: catalog.ServicePrefix}})
		}, func(t *testing.T, w *reconcilerWorld) {
			_, err := w.joinRequest(t.Context())
			assert.ErrorContains(t, err, "prefixes[1]: prefix "+cidr+" is too large")
		})
	}
}

func TestJoinNamesTheGatewaysToWhichNoTunnelIsPossible(t *testing.T) {
	other := plan.Problem{Code: "gateway-unreachable", Message: "other", Remedy: "wait"}
	four := plan.Problem{Code: gatewayplan.CodeNoCommonFamily, Message: "no tunnel to four", Remedy: "give it an address"}
	five := plan.Problem{Code: gatewayplan.CodeNoCommonFamily, Message: "no tunnel to five", Remedy: "give it an address"}
	assert.Empty(t, unreachableForever(nil))
	assert.Empty(t, unreachableForever([]plan.Problem{other}))
	assert.Equal(t, "no tunnel to four: give it an address", unreachableForever([]plan.Problem{other, four}))
	assert.Equal(t, "no tunnel to four: give it an address; meshctl status lists 2 such gateways", unreachableForever([]plan.Problem{four, other, five}))
}
