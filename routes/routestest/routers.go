package routestest

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
)

// Routed returns the configuration of a host that routes all prefixes to two
// routers on its links, for both families.
func Routed() routes.Config {
	router := func(n int, f routes.Family, device, via string) routes.Nexthop {
		return routes.Nexthop{
			ID:     routes.LaneNexthopID(n, f),
			Family: f,
			Device: device,
			Via:    netip.MustParseAddr(via),
		}
	}
	c := routes.Config{
		Table: table,
		Rules: []routes.Rule{sampleRule(routes.IPv4), sampleRule(routes.IPv6)},
		Nexthops: []routes.Nexthop{
			router(0, routes.IPv4, "mesh0", "192.0.2.11"), router(0, routes.IPv6, "mesh0", "fd00:9::11"),
			router(1, routes.IPv4, "mesh1", "198.51.100.12"),
		},
		Groups: []routes.Group{
			{ID: routes.GroupID(0, routes.IPv4), Family: routes.IPv4, Members: []uint32{routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)}},
			{ID: routes.GroupID(0, routes.IPv6), Family: routes.IPv6, Members: []uint32{routes.LaneNexthopID(0, routes.IPv6)}},
			{ID: routes.GroupID(1, routes.IPv4), Family: routes.IPv4, Members: []uint32{routes.LaneNexthopID(0, routes.IPv4)}},
		},
		Routes: []routes.Route{
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Nexthop: routes.GroupID(0, routes.IPv4)},
			{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Nexthop: routes.GroupID(1, routes.IPv4)},
			{Prefix: netip.MustParsePrefix("fd00:2::/48"), Nexthop: routes.GroupID(0, routes.IPv6)},
		},
	}
	return c
}

func addLinks(w World) {
	w.AddLink("mesh0", netip.MustParsePrefix("192.0.2.0/24"))
	w.AddLink("mesh0", netip.MustParsePrefix("fd00:9::/64"))
	w.AddLink("mesh1", netip.MustParsePrefix("198.51.100.0/24"))
}

func routerOnTheLink(t *testing.T, w World) {
	addLinks(w)
	want := Routed()
	got := apply(t, w, want)
	assert.True(t, routes.Diff(want, got, true).Empty(), routes.Diff(want, got, true))
	found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.3.0.1")})
	require.NoError(t, err)
	assert.Equal(t, "mesh0", found.Device)
	assert.Equal(t, netip.MustParseAddr("192.0.2.11"), found.Via)
	want.Nexthops[0].Via = netip.MustParseAddr("192.0.2.13") // the gateway has moved
	change := routes.Diff(want, observe(t, w), true)
	assert.Equal(t, 1, change.Len(), "one message for any number of routes")
	apply(t, w, want)
	apply(t, w, Sample()) // this host has become a gateway itself
	apply(t, w, Routed())
}

func routerOnNoLink(t *testing.T, w World) {
	addLinks(w)
	want := Routed()
	want.Nexthops[2].Via = netip.MustParseAddr("203.0.113.1")
	got, err := Apply(t.Context(), w, want, true)
	require.ErrorContains(t, err, "203.0.113.1")
	require.ErrorContains(t, err, "unreachable")
	assert.Equal(t, want.Routes, got.Routes)
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, got.Groups[0].Members)
}

// standbyApplies requires that packets take the standby route from the moment that
// the device of the other route is gone, and that a failing write of that route
// does not change it.
func standbyApplies(t *testing.T, w World) {
	addLinks(w)
	want := Routed()
	want.Groups[0].Members = []uint32{routes.LaneNexthopID(1, routes.IPv4)}
	standby := routes.Route{Prefix: want.Routes[0].Prefix, Kind: routes.Standby, Nexthop: routes.GroupID(1, routes.IPv4)}
	guard := routes.Route{Prefix: standby.Prefix, Kind: routes.Guard}
	want.Routes = slices.Insert(want.Routes, 1, standby, guard)
	router := func() string {
		found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.2.0.1")})
		require.NoError(t, err)
		return found.Via.String()
	}
	got := apply(t, w, want)
	assert.Subset(t, got.Routes, want.Routes)
	assert.Equal(t, "198.51.100.12", router())
	w.DownDevice("mesh1")
	assert.Equal(t, "192.0.2.11", router())
	for range 2 {
		_, err := Apply(t.Context(), w, want, true)
		require.Error(t, err, "the device is down")
		assert.Equal(t, "192.0.2.11", router())
	}
	w.DownDevice("mesh0")
	found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.2.0.1")})
	require.NoError(t, err)
	assert.True(t, found.Blackhole)
}
