package plan_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func TestInterfacesOfOthersWithNamesOfOursAreRefused(t *testing.T) {
	in := running()
	require.NoError(t, gatewayplan.RefuseInterfaces(in.Config, in.Host))
	in.Host.Foreign = []string{"mesh1"}
	var refusal *catalog.Refusal
	require.ErrorAs(t, gatewayplan.RefuseInterfaces(in.Config, in.Host), &refusal)
	assert.Equal(t, "wireguard.interface", refusal.Field)
	assert.Contains(t, refusal.Message, "interface mesh1 of this host")
	assert.Contains(t, refusal.Remedy, "wireguard.interface")
}

func TestRoutesOverAnInterfaceWithANameOfOursStayLocal(t *testing.T) {
	in := running()
	in.Host.Routes = append(in.Host.Routes, routes.HostRoute{Prefix: netip.MustParsePrefix("10.3.7.0/24"), Device: "mesh7"})
	_, ours := gatewayplan.Compute(in)
	in.Host.Foreign = []string{"mesh7"}
	_, foreign := gatewayplan.Compute(in)
	require.Len(t, foreign, len(ours)+1)
	codes := map[string]bool{}
	for _, p := range foreign {
		codes[p.Code] = true
	}
	assert.True(t, codes["prefix-local"])
}
