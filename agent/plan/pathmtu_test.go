package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// mtusOf returns the MTU of the routes to each datacenter's pods, 0 for that of
// the interface.
func mtusOf(d plan.Desired) map[string]int {
	mtus := map[string]int{}
	for _, r := range d.Routes.Routes {
		if r.Nexthop != 0 {
			mtus[r.Prefix.String()] = r.MTU
		}
	}
	return mtus
}

func TestRoutesToADatacenterHaveTheMTUOfItsNarrowestPath(t *testing.T) {
	in := running()
	in.Observed.PathMTUs = map[catalog.GatewayID]int{}
	for _, g := range in.Catalog.Gateways {
		if g.ID() != in.Self {
			in.Observed.PathMTUs[g.ID()] = 1420
		}
	}
	wide, _ := gatewayplan.Compute(in)
	for prefix, mtu := range mtusOf(wide) {
		assert.Zero(t, mtu, prefix)
	}
	narrow := in.Catalog.Gateways[len(in.Catalog.Gateways)-1].ID()
	in.Observed.PathMTUs[narrow] = 1330 // between two MTUs of routes
	found, problems := gatewayplan.Compute(in)
	require.Equal(t, wide.Tunnels, found.Tunnels, "the interfaces keep their MTU")
	some := false
	dc, _, _ := strings.Cut(string(narrow), "/")
	for _, d := range in.Catalog.Datacenters {
		for _, p := range d.Prefixes {
			mtu, routed := mtusOf(found)[p.CIDR.String()]
			if !routed {
				continue
			}
			want := 0
			if string(d.Name) == dc {
				want, some = 1328, true
			}
			assert.Equal(t, want, mtu, "%s of %s", p.CIDR, d.Name)
		}
	}
	assert.True(t, some)
	for _, p := range problems {
		assert.NotEqual(t, "path-mtu-too-small", p.Code)
	}
}

// Linux keeps the MTU of a route with its nexthop object, for all routes that use
// the object.
func TestRoutesWithDifferentMTUsShareNoNexthop(t *testing.T) {
	in := running()
	in.Observed.PathMTUs = map[catalog.GatewayID]int{}
	for i, g := range in.Catalog.Gateways {
		in.Observed.PathMTUs[g.ID()] = 1280 + 16*i
	}
	d, _ := gatewayplan.Compute(in)
	mtus, distinct := map[uint32]int{}, map[int]bool{}
	for _, r := range d.Routes.Routes {
		if r.Nexthop == 0 { // a guard
			continue
		}
		distinct[r.MTU] = true
		for _, nexthop := range nexthopsOf(d.Routes, r.Nexthop) {
			if first, taken := mtus[nexthop]; taken {
				assert.Equal(t, first, r.MTU, "%s through nexthop %#x", r.Prefix, nexthop)
			}
			mtus[nexthop] = r.MTU
			assert.Contains(t, ids(d.Routes), nexthop, "it exists")
		}
	}
	assert.Greater(t, len(distinct), 2)
}

func ids(c routes.Config) (ids []uint32) {
	for _, n := range c.Nexthops {
		ids = append(ids, n.ID)
	}
	return ids
}

func TestADatacenterWithoutUsableLanesHasNoMTUOfItsOwn(t *testing.T) {
	in := running()
	in.Observed.PathMTUs = map[catalog.GatewayID]int{}
	var all []catalog.GatewayID
	for _, g := range in.Catalog.Gateways {
		if g.ID() != in.Self {
			in.Observed.PathMTUs[g.ID()] = 1300
			all = append(all, g.ID())
		}
	}
	fail(&in, all...)
	d, _ := gatewayplan.Compute(in)
	for prefix, mtu := range mtusOf(d) {
		assert.Zero(t, mtu, "%s uses the blackhole, which all datacenters share", prefix)
	}
}

func TestAPathBelowTheMinimumIsAnError(t *testing.T) {
	in := running()
	peer := in.Catalog.Gateways[len(in.Catalog.Gateways)-1].ID()
	in.Observed.PathMTUs = map[catalog.GatewayID]int{peer: 1100}
	d, problems := gatewayplan.Compute(in)
	var codes []string
	for _, p := range problems {
		codes = append(codes, p.Code)
		if p.Code == "path-mtu-too-small" {
			assert.Contains(t, p.Message, string(peer))
			assert.Contains(t, p.Message, "1100")
			assert.Contains(t, p.Remedy, "1360")
		}
	}
	assert.Contains(t, codes, "path-mtu-too-small")
	for prefix, mtu := range mtusOf(d) {
		assert.Contains(t, []int{0, 1280}, mtu, prefix)
	}
}
