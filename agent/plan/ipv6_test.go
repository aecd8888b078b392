package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func TestHostWithoutIPv6UsesIPv4(t *testing.T) {
	in := running()
	in.Catalog.Federation.Overlay = netip.MustParsePrefix("10.77.0.0/24")
	for i := range in.Catalog.Gateways {
		in.Catalog.Gateways[i].Overlay = netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})
	}
	with, before := gatewayplan.Compute(in)
	in.Host.IPv6 = plan.IPv6Missing
	d, problems := gatewayplan.Compute(in)
	require.Len(t, problems, len(before)+1, "it is reported once")
	i := slices.IndexFunc(problems, func(p plan.Problem) bool { return p.Code == "ipv6-missing" })
	assert.Equal(t, plan.Warning, problems[i].Severity)
	assert.Contains(t, problems[i].Remedy, "ipv6.disable=1")
	assert.Equal(t, with.Sessions, d.Sessions)
	text := d.String()
	assert.Contains(t, text, "route 10.3.0.0/16 nhid")
	for line := range strings.Lines(text) {
		ipv6 := strings.HasPrefix(line, "rule IPv6") || strings.HasPrefix(line, "route 2001:") || strings.HasPrefix(line, "sysctl net/ipv6")
		assert.False(t, ipv6, line)
	}
}

func TestHostWithoutIPv6ReportsAnIPv6Overlay(t *testing.T) {
	in := running()
	in.Host.IPv6 = plan.IPv6Missing
	d, problems := gatewayplan.Compute(in)
	require.NotEmpty(t, problems)
	assert.Equal(t, "ipv6-missing", problems[0].Code)
	assert.Equal(t, plan.Error, problems[0].Severity)
	assert.NotContains(t, d.String(), "address fd77::")
	assert.Contains(t, d.String(), "route 10.3.0.0/16 nhid")

	var refusal *catalog.Refusal
	require.ErrorAs(t, gatewayplan.RefuseOverlay(in.Config, in.Host, in.Catalog.Federation.Overlay), &refusal)
	assert.Equal(t, "ipv6-missing", refusal.Code)
	assert.Contains(t, refusal.Remedy, "meshctl init --overlay")
	assert.NoError(t, gatewayplan.RefuseOverlay(in.Config, in.Host, netip.MustParsePrefix("10.77.0.0/24")))
}

// TestHostWithIPv6SwitchedOffHasItInItsLanes: the overlay is IPv6, whatever pods use.
func TestHostWithIPv6SwitchedOffHasItInItsLanes(t *testing.T) {
	in := running()
	with, before := gatewayplan.Compute(in)
	in.Host.IPv6 = plan.IPv6InLanes
	d, problems := gatewayplan.Compute(in)
	require.Len(t, problems, len(before)+1, "it is reported once")
	i := slices.IndexFunc(problems, func(p plan.Problem) bool { return p.Code == "ipv6-missing" })
	assert.Equal(t, plan.Warning, problems[i].Severity)
	assert.Contains(t, problems[i].Remedy, "net.ipv6.conf.all.disable_ipv6=0")
	assert.Equal(t, with.Sessions, d.Sessions)
	assert.Equal(t, with.Tunnels, d.Tunnels)
	assert.Contains(t, d.String(), "rule IPv6")
	assert.Contains(t, d.String(), "route 10.3.0.0/16 nhid")
	assert.NotContains(t, d.String(), "route 2001:")
	assert.NoError(t, gatewayplan.RefuseOverlay(in.Config, in.Host, in.Catalog.Federation.Overlay))

	in.Catalog.Federation.Overlay = netip.MustParsePrefix("10.77.0.0/24")
	for i := range in.Catalog.Gateways {
		in.Catalog.Gateways[i].Overlay = netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})
	}
	d, _ = gatewayplan.Compute(in)
	for _, n := range d.Routes.Nexthops {
		assert.Equal(t, routes.IPv4, n.Family, "%s has no IPv6", n.Device)
	}
}

func TestNodeWithoutIPv6UsesIPv4(t *testing.T) {
	in := nodeInputs()
	in.Host.IPv6 = plan.IPv6Missing
	d, problems := nodeplan.Compute(in)
	require.Len(t, problems, 1)
	assert.Equal(t, "ipv6-missing", problems[0].Code)
	assert.Contains(t, d.String(), "route 10.3.0.0/16 nhid")
	assert.NotContains(t, d.String(), "rule IPv6")
}

// TestProbesThroughTunnelsHaveRoutesInEachFamily has no IPv6 but in the tunnels to nodes.
func TestProbesThroughTunnelsHaveRoutesInEachFamily(t *testing.T) {
	in := nodeInputs()
	apart(&in)
	in.Inventory.Overlay = netip.MustParsePrefix("10.77.0.0/24")
	in.Inventory.Members = slices.DeleteFunc(in.Inventory.Members, func(m plan.Member) bool { return m.Name == "north" })
	d, _ := nodeplan.Compute(in)
	require.Len(t, d.Sessions, 4, "of two gateways in two families")
	assert.Contains(t, d.String(), "rule IPv4")
	assert.Contains(t, d.String(), "rule IPv6", "without it the route to the gateway's end is not used")
	in.Host.IPv6 = plan.IPv6Missing
	d, _ = nodeplan.Compute(in)
	require.Len(t, d.Sessions, 2)
	for _, s := range d.Sessions {
		assert.True(t, s.Local.Is4() && s.Remote.Is4(), s)
	}

	g := withNodes()
	g.Catalog.Federation.Overlay = netip.MustParsePrefix("10.77.0.0/24")
	for i := range g.Catalog.Gateways {
		g.Catalog.Gateways[i].Overlay = netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})
	}
	g.Catalog.Datacenters = slices.DeleteFunc(g.Catalog.Datacenters, func(dc catalog.Datacenter) bool { return dc.Name == "north" })
	gd, _ := gatewayplan.Compute(g)
	assert.Contains(t, gd.String(), "rule IPv6 not fwmark")
}

func TestLinksWithAdvertisedRoutesKeepThemWhileTheHostForwards(t *testing.T) {
	in := running()
	in.Host.Advertised = []string{"eth0"}
	d, _ := gatewayplan.Compute(in)
	assert.Contains(t, d.String(), "sysctl net/ipv6/conf/eth0/accept_ra=2\n")
	n := nodeInputs()
	n.Host.Advertised = []string{"eth0"}
	nd, _ := nodeplan.Compute(n)
	assert.Contains(t, nd.String(), "sysctl net/ipv6/conf/eth0/accept_ra=2\n")
}
