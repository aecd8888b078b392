//go:build linux && root

package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestRoutesThroughOneLaneKeepTheirOwnMTU(t *testing.T) {
	w := newWorld(t)
	oneProcessor(t)
	want := routes.Config{Table: routes.DefaultTable}
	prefixes := map[routes.Family][]string{routes.IPv4: {"10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"}, routes.IPv6: {"fd00:2::/48", "fd00:3::/48", "fd00:4::/48"}}
	mtus := []int{0, 1328, 1296}
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		want.Rules = append(want.Rules, routes.Rule{Family: f, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark})
	}
	for i, mtu := range mtus {
		for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
			lane := routes.LaneNexthopID(0, f)
			if mtu != 0 {
				lane = routes.NarrowNexthopID(mtu, 0, f)
			}
			group := routes.Group{ID: routes.GroupID(i, f), Family: f, Members: []uint32{lane}}
			want.Nexthops = append(want.Nexthops, routes.Nexthop{ID: lane, Family: f, Device: "mesh0"})
			want.Groups = append(want.Groups, group)
			want.Routes = append(want.Routes, routes.Route{Prefix: netip.MustParsePrefix(prefixes[f][i]), Nexthop: group.ID, MTU: mtu})
		}
	}
	_, err := routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	for range 2 {
		for i, mtu := range mtus {
			for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
				to := netip.MustParsePrefix(prefixes[f][i]).Addr().Next()
				found, err := netlink.RouteGet(to.AsSlice())
				require.NoError(t, err)
				assert.Equal(t, mtu, found[0].MTU, "%s", to)
			}
		}
	}
}
