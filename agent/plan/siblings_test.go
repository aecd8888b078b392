package plan_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func without(in plan.Inputs, ids ...catalog.GatewayID) plan.Inputs {
	var left []catalog.Gateway
	for _, g := range in.Catalog.Gateways {
		gone := false
		for _, id := range ids {
			gone = gone || g.ID() == id
		}
		if !gone {
			left = append(left, g)
		}
	}
	in.Catalog.Gateways = left
	return in
}

func TestPacketsOfSiblingsAreAcceptedOnlyOnDevicesToSiblings(t *testing.T) {
	cases := map[string]struct {
		gone []catalog.GatewayID
		want []string
	}{
		"alone":                                 {[]catalog.GatewayID{"east/b", "east/c"}, nil},
		"on a link, and through the CNI plugin": {[]catalog.GatewayID{"east/c"}, []string{"eth0", "flannel.1"}},
		"behind routers":                        {[]catalog.GatewayID{"east/b"}, []string{"eth0", "eth1", "flannel.1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, _ := gatewayplan.Compute(without(sharing(), c.gone...))
			assert.Equal(t, c.want, d.Firewall.TrustedDevices)
			for _, device := range c.want {
				loose := slices.Contains(d.Routes.Sysctls, routes.Sysctl{Key: "net/ipv4/conf/" + device + "/rp_filter", Value: "2"})
				assert.Equal(t, device != "flannel.1", loose, "the filter of %s is changed if it is strict", device)
			}
		})
	}
}

func TestSingleGatewayTracksAllConnections(t *testing.T) {
	alone := without(sharing(), "east/b", "east/c")
	d, _ := gatewayplan.Compute(alone)
	assert.Zero(t, d.Firewall.Transit)
}

func TestSeveralGatewaysTrackOnlyLocalConnections(t *testing.T) {
	d, _ := gatewayplan.Compute(sharing())
	assert.Equal(t, routes.Transit{
		Devices:  []string{"eth0", "eth1", "flannel.1"},
		Services: []netip.Prefix{netip.MustParsePrefix("10.101.0.0/16")},
	}, d.Firewall.Transit, "cni0, which connects the local pods, is not included")
}

func TestSiblingIsUsedWhenNoOwnLaneWorks(t *testing.T) {
	in := sharing()
	nexthop := routes.SiblingNexthopID(1, routes.IPv4)
	d, _ := gatewayplan.Compute(in)
	assert.Contains(t, d.Routes.Nexthops, routes.Nexthop{
		ID: nexthop, Family: routes.IPv4, Device: "eth0", Via: netip.MustParseAddr("192.0.2.11"),
	})
	assert.NotContains(t, group(t, d, 3, routes.IPv4), nexthop, "own lanes work")

	fail(&in, "west/a")
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, []uint32{routes.LaneNexthopID(1, routes.IPv4)}, group(t, d, 3, routes.IPv4), "one own lane works")

	fail(&in, "west/b")
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, []uint32{nexthop}, group(t, d, 3, routes.IPv4))
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, group(t, d, 2, routes.IPv4), "other datacenters are not affected")

	for i, g := range in.Catalog.Gateways {
		in.Catalog.Gateways[i].Draining = g.ID() == "east/b"
	}
	d, _ = gatewayplan.Compute(in)
	assert.Equal(t, []uint32{nexthop}, group(t, d, 3, routes.IPv4), "a drained sibling is used if there is no other")
}

func TestSiblingBehindRoutersIsNoNexthop(t *testing.T) {
	in := without(sharing(), "east/b")
	fail(&in, "west/a", "west/b")
	d, _ := gatewayplan.Compute(in)
	assert.Equal(t, []uint32{routes.BlackholeID(routes.IPv4)}, group(t, d, 3, routes.IPv4))
}

func TestSilentDatacenterKeepsItsLanesForTheGracePeriod(t *testing.T) {
	cases := map[string]struct {
		inputs  plan.Inputs
		silence time.Duration
		want    uint32
	}{
		"alone, within the grace period":         {running(), 9 * time.Second, routes.LaneNexthopID(0, routes.IPv4)},
		"alone, after the grace period":          {running(), 10 * time.Second, routes.BlackholeID(routes.IPv4)},
		"with siblings, within the grace period": {sharing(), 1900 * time.Millisecond, routes.LaneNexthopID(0, routes.IPv4)},
		"with siblings, after the grace period":  {sharing(), 2 * time.Second, routes.SiblingNexthopID(1, routes.IPv4)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fail(&c.inputs, "north/a")
			c.inputs.Observed.Sessions[0].LastPacket = now.Add(-c.silence)
			d, _ := gatewayplan.Compute(c.inputs)
			assert.Equal(t, []uint32{c.want}, group(t, d, 2, routes.IPv4))
		})
	}
}

// drain marks the sessions of the given gateways, and no others, as draining.
func drain(in *plan.Inputs, gateways ...catalog.GatewayID) {
	fail(in, gateways...)
	for i, s := range in.Observed.Sessions {
		in.Observed.Sessions[i].Draining = slices.Contains(gateways, s.Gateway)
	}
}

func TestDrainedGatewayOfAnotherDatacenterIsLastResort(t *testing.T) {
	in := running()
	drain(&in, "west/a")
	d, problems := gatewayplan.Compute(in)
	assert.Equal(t, []uint32{routes.LaneNexthopID(1, routes.IPv4)}, group(t, d, 3, routes.IPv4))
	assert.Empty(t, problems, "a drain is no failure")

	drain(&in, "west/a", "west/b")
	d, problems = gatewayplan.Compute(in)
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)}, group(t, d, 3, routes.IPv4))
	assert.Empty(t, problems)
}

func TestDrainingGatewayForwardsUntilItIsDrained(t *testing.T) {
	own, sibling := routes.LaneNexthopID(0, routes.IPv4), routes.SiblingNexthopID(1, routes.IPv4)
	for name, c := range map[string]struct {
		step     plan.Drain
		recorded []string // gateways whose drain is in the catalog
		want     uint32
	}{
		"draining and recorded":                     {plan.Draining, []string{"a"}, own},
		"drained and recorded":                      {plan.Drained, []string{"a"}, sibling},
		"own drain is not recorded yet":             {plan.Drained, nil, own},
		"the sibling is drained too":                {plan.Drained, []string{"a", "b"}, own},
		"only the drain of the sibling is recorded": {plan.Drained, []string{"b"}, own},
	} {
		in := sharing()
		in.Drain = c.step
		for i, g := range in.Catalog.Gateways {
			in.Catalog.Gateways[i].Draining = g.Datacenter == "east" && slices.Contains(c.recorded, g.Name)
		}
		d, problems := gatewayplan.Compute(in)
		assert.Equal(t, []uint32{c.want}, group(t, d, 2, routes.IPv4), name)
		assert.Len(t, problems, 1)
		assert.Equal(t, "draining", problems[0].Code)
	}
	alone := running()
	alone.Drain = plan.Drained
	d, _ := gatewayplan.Compute(alone)
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, group(t, d, 2, routes.IPv4), "there is no sibling")
}

func TestSessionsAreRelaxedOnlyWhenNoOtherGatewayCanTakeOver(t *testing.T) {
	relaxed := func(in plan.Inputs) map[catalog.GatewayID]bool {
		desired, _ := gatewayplan.Compute(in)
		found := map[catalog.GatewayID]bool{}
		for _, s := range desired.Sessions {
			found[s.Gateway] = s.Relaxed
		}
		return found
	}
	one := federation()
	one.Catalog.Gateways = slices.DeleteFunc(one.Catalog.Gateways, func(g catalog.Gateway) bool { return g.Index > 0 })
	for gateway, got := range relaxed(one) {
		assert.True(t, got, "%s has no sibling, and neither has this gateway", gateway)
	}
	for gateway, got := range relaxed(federation()) {
		others := 0
		for _, g := range federation().Catalog.Gateways {
			if gateway.Datacenter() == g.Datacenter {
				others++
			}
		}
		assert.Equal(t, others == 1, got, "%s", gateway)
	}
	for gateway, got := range relaxed(sharing()) {
		assert.False(t, got, "a sibling of this gateway can take over, to %s", gateway)
	}
}
