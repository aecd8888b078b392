package routes_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestDiffOfEqualConfigsIsEmpty(t *testing.T) {
	want := routestest.Sample()
	change := routes.Diff(want, routes.Observed{Config: want}, true)
	assert.True(t, change.Empty())
	assert.Empty(t, change.String())
}

func TestChangePrintsCommandsInTheOrderOfExecution(t *testing.T) {
	have := routestest.Sample()
	want := routestest.Sample()
	want.Sysctls[0].Value = "0"
	want.Nexthops[1].Device = "mesh7"
	want.Nexthops = append(want.Nexthops[:3:3], routes.Nexthop{ID: routes.LaneNexthopID(2, routes.IPv4), Family: routes.IPv4, Device: "mesh2"})
	want.Groups[0].Members = []uint32{routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(2, routes.IPv4)}
	want.Groups = append(slices.Delete(want.Groups, 2, 3),
		routes.Group{ID: routes.GroupID(3, routes.IPv6), Family: routes.IPv6, Members: []uint32{routes.LaneNexthopID(0, routes.IPv6)}})
	want.Routes[0].Source = netip.Addr{}
	want.Routes = append(slices.Delete(want.Routes, 1, 2),
		routes.Route{Prefix: netip.MustParsePrefix("fd00:3::/48"), Nexthop: routes.GroupID(3, routes.IPv6)})
	want.Rules[1].Priority = 5500
	assert.Equal(t, `sysctl -w net/ipv4/conf/mesh0/rp_filter=0
ip nexthop add id 0x4d570006 dev mesh2 protocol 157
ip nexthop replace id 0x4d570002 dev mesh7 protocol 157
ip -6 nexthop add id 0x4d570107 group 0x4d570003 protocol 157
ip nexthop replace id 0x4d570100 group 0x4d570002/0x4d570006 protocol 157
ip -6 route add fd00:3::/48 nhid 0x4d570107 table 7117 proto 157
ip route replace 10.2.0.0/16 nhid 0x4d570100 table 7117 proto 157
ip -6 rule add not fwmark 0x20/0x20 lookup 7117 priority 5500 protocol 157
ip -6 rule del not fwmark 0x20/0x20 lookup 7117 priority 5400 protocol 157
ip route del 10.3.0.0/16 nhid 0x4d570102 mtu 1328 table 7117 proto 157
ip nexthop del id 0x4d570102
ip nexthop del id 0x4d570004
`, routes.Diff(want, routes.Observed{Config: have}, true).String())
}

func TestDiffWithoutPruneDeletesNothing(t *testing.T) {
	change := routes.Diff(routes.Config{Table: 7117}, routes.Observed{Config: routestest.Sample()}, false)
	assert.True(t, change.Empty())
}

func TestDiffDoesNotModifyItsInputs(t *testing.T) {
	want, have := routestest.Sample(), routes.Observed{Config: routestest.Sample()}
	have.ForeignNexthops = []routes.ForeignNexthop{{ID: routes.LaneNexthopID(1, routes.IPv4), Protocol: 3}}
	routes.Diff(want, have, true)
	assert.Equal(t, routestest.Sample(), want)
	assert.Equal(t, routestest.Sample(), have.Config)
}

func TestDiffRoutesNothingToAForeignNexthop(t *testing.T) {
	have := routes.Observed{ForeignNexthops: []routes.ForeignNexthop{
		{ID: routes.LaneNexthopID(1, routes.IPv4), Protocol: 3}, {ID: routes.GroupID(2, routes.IPv4), Protocol: 4},
	}}
	sample := routestest.Sample()
	change := routes.Diff(sample, have, true)
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, change.Groups.Add[0].Members, "keeps its other nexthop")
	assert.Equal(t, []uint32{routes.BlackholeID(routes.IPv4)}, change.Groups.Add[2].Members, "has no other nexthop, so it drops")
	assert.Equal(t, []routes.Route{sample.Routes[0], sample.Routes[1], sample.Routes[3]}, change.Routes.Add)
	assert.Equal(t, []routes.Conflict{
		{Entry: "nexthop id 0x4d570004 dev mesh1 protocol 157", Reason: "nexthop id 0x4d570004 belongs to protocol 3, " +
			"not to Meshway: remove it (ip nexthop del id 0x4d570004) or configure its owner to use other ids"},
		{Entry: "nexthop id 0x4d570104 group 0x4d570000 protocol 157", Reason: "nexthop id 0x4d570104 belongs to protocol 4, " +
			"not to Meshway: remove it (ip nexthop del id 0x4d570104) or configure its owner to use other ids"},
		{Entry: "route 10.4.0.0/16 nhid 0x4d570104 table 7117 proto 157", Reason: "nexthop id 0x4d570104 cannot be created"},
	}, change.Conflicts)
}

func TestDiffOmitsAGroupWithoutNexthopsAndBlackhole(t *testing.T) {
	want := routestest.Sample()
	want.Nexthops = want.Nexthops[1:] // without the blackhole
	want.Groups = want.Groups[:3]
	have := routes.Observed{ForeignNexthops: []routes.ForeignNexthop{{ID: routes.LaneNexthopID(1, routes.IPv4), Protocol: 3}}}
	change := routes.Diff(want, have, true)
	assert.Equal(t, routes.Nexthop{ID: routes.BlackholeID(routes.IPv4), Family: routes.IPv4}, change.Nexthops.Add[0],
		"is created for the group that has no other nexthop")
	have.ForeignNexthops = append(have.ForeignNexthops,
		routes.ForeignNexthop{ID: routes.BlackholeID(routes.IPv4), Protocol: 3})
	change = routes.Diff(want, have, true)
	assert.Len(t, change.Groups.Add, 2)
	assert.NotContains(t, change.Routes.Add, want.Routes[1])
}

func TestDiffPrunesASecondRouteToAPrefix(t *testing.T) {
	want := routestest.Sample()
	have := routes.Observed{Config: routestest.Sample()}
	twin := have.Routes[0]
	twin.Nexthop = 0
	have.Routes = slices.Insert(have.Routes, 1, twin)
	assert.Equal(t, routes.Delta[routes.Route]{Delete: []routes.Route{twin}}, routes.Diff(want, have, true).Routes)
	assert.True(t, routes.Diff(want, have, false).Empty())
}

// part returns a random part of the sample, without missing nexthops.
func part(r *rand.Rand) routes.Config {
	c := routestest.Sample()
	c.Rules = some(r, c.Rules)
	c.Routes = some(r, c.Routes)
	for i := range c.Groups {
		if r.IntN(2) == 0 && c.Groups[i].Family == routes.IPv4 {
			c.Groups[i].Members = []uint32{routes.BlackholeID(routes.IPv4)}
		}
	}
	return c
}

func some[T any](r *rand.Rand, list []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(T) bool { return r.IntN(2) == 0 })
}

func TestDiffReachesTheDesiredStateFromAnyState(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	k := kernel()
	for range 300 {
		want := part(r)
		got, err := routestest.Apply(t.Context(), k, want, true)
		require.NoError(t, err)
		require.True(t, routes.Diff(want, got, true).Empty())
	}
}

func TestDiffIsThatOfTheSetsWhereverTheyDiffer(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var all routes.Config
	for i := range 6 {
		all.Groups = append(all.Groups, routes.Group{ID: routes.GroupID(i, routes.IPv4), Family: routes.IPv4, Members: []uint32{routes.BlackholeID(routes.IPv4)}})
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)
		all.Routes = append(all.Routes, routes.Route{Prefix: prefix, Nexthop: all.Groups[i].ID}, routes.Route{Prefix: prefix, Kind: routes.Guard})
	}
	for range 1000 {
		want := routes.Config{Groups: some(r, all.Groups), Routes: some(r, all.Routes)}
		have := routes.Config{Groups: some(r, all.Groups), Routes: some(r, all.Routes)}
		moved := r.IntN(len(all.Routes) / 2)
		for i, route := range have.Routes {
			if route.Prefix == all.Routes[2*moved].Prefix && route.Kind == routes.ToNexthop {
				have.Routes[i].Nexthop = routes.BlackholeID(routes.IPv4)
			}
		}
		got := routes.Diff(want, routes.Observed{Config: have}, true)
		sameGroup := func(a, b routes.Group) bool { return a.ID == b.ID }
		sameRoute := func(a, b routes.Route) bool { return routes.CompareRoutes(a, b) == 0 }
		require.Equal(t, without(want.Groups, have.Groups, sameGroup), got.Groups.Add)
		require.Equal(t, without(have.Groups, want.Groups, sameGroup), got.Groups.Delete)
		require.Equal(t, without(want.Routes, have.Routes, sameRoute), got.Routes.Add)
		require.Equal(t, without(have.Routes, want.Routes, sameRoute), got.Routes.Delete)
		equal := func(a, b routes.Route) bool { return a == b }
		changed := without(without(want.Routes, have.Routes, equal), got.Routes.Add, equal)
		require.Equal(t, changed, got.Routes.Replace)
		require.Empty(t, got.Groups.Replace)
	}
}

// without returns the entries of a list for which another one has none that is the same.
func without[T any](list, other []T, same func(a, b T) bool) (out []T) {
	for _, e := range list {
		if !slices.ContainsFunc(other, func(o T) bool { return same(e, o) }) {
			out = append(out, e)
		}
	}
	return out
}

func kernel() *routestest.Kernel {
	k := routestest.NewKernel()
	k.AddDevice("mesh0", netip.MustParseAddr("10.1.0.1"))
	k.AddDevice("mesh1", netip.MustParseAddr("fd00:1::1"))
	return k
}

func TestDiffRefreshesGroupsWhenAnIPv6RouteIsDeleted(t *testing.T) {
	have := routes.Observed{Config: routestest.Sample()}
	less := routestest.Sample()
	less.Routes = less.Routes[:3]
	assert.Equal(t, []routes.Group{less.Groups[1]}, routes.Diff(less, have, true).Refresh)
	assert.Empty(t, routes.Diff(less, have, false).Refresh, "nothing is deleted")
	less = routestest.Sample()
	less.Routes = less.Routes[1:]
	assert.Empty(t, routes.Diff(less, have, true).Refresh, "IPv4 has no such cache")
}
