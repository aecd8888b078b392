package routestest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
)

func appliedIsObserved(t *testing.T, w World) {
	got := apply(t, w, Sample())
	assert.Empty(t, got.Foreign)
	assert.Empty(t, got.ForeignNexthops)
}

func secondApplyIsEmpty(t *testing.T, w World) {
	want := Sample()
	got := apply(t, w, want)
	assert.True(t, routes.Diff(want, got, true).Empty(), routes.Diff(want, got, true))
}

func nothingDeletedWithoutPrune(t *testing.T, w World) {
	before := apply(t, w, Sample())
	less := routes.Config{Table: table}
	after, err := Apply(t.Context(), w, less, false)
	require.NoError(t, err)
	before.Sysctls = nil
	assert.Equal(t, before, after)
	after, err = Apply(t.Context(), w, less, true)
	require.NoError(t, err)
	assert.Equal(t, less, after.Config)
}

func lostNexthopLeavesGroups(t *testing.T, w World) {
	want := Sample()
	apply(t, w, want)
	w.DownDevice("mesh1")
	got := observe(t, w)
	assert.Equal(t, []routes.Group{
		{ID: routes.GroupID(0, routes.IPv4), Family: routes.IPv4, Members: []uint32{routes.LaneNexthopID(0, routes.IPv4)}},
		want.Groups[1], want.Groups[3],
	}, got.Groups)
	assert.NotContains(t, got.Routes, want.Routes[1], "its only nexthop is gone")
	assert.Contains(t, got.Routes, want.Routes[0])
}

// guardsRemain requires that a prefix whose devices are gone is not routed by
// another table.
func guardsRemain(t *testing.T, w World) {
	want := Sample()
	first, last := want.Routes[0], want.Routes[3]
	guard4 := routes.Route{Prefix: first.Prefix, Kind: routes.Guard}
	guard6 := routes.Route{Prefix: last.Prefix, Kind: routes.Guard}
	want.Routes = append(slices.Insert(want.Routes, 1, guard4), guard6)
	apply(t, w, want)
	for _, address := range []string{"10.2.0.1", "fd00:2::1"} {
		found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr(address)})
		require.NoError(t, err)
		assert.False(t, found.Blackhole, "a guard comes after the other route to %s", address)
	}
	w.DownDevice("mesh0")
	w.DownDevice("mesh1")
	got := observe(t, w)
	assert.NotContains(t, got.Routes, first)
	for _, address := range []string{"10.2.0.1", "fd00:2::1"} {
		found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr(address)})
		require.NoError(t, err)
		assert.True(t, found.Blackhole, address)
	}
	assert.Subset(t, got.Routes, []routes.Route{guard4, guard6})
	want.Routes = slices.DeleteFunc(want.Routes, func(r routes.Route) bool { return r.Kind == routes.Guard })
	got, err := Apply(t.Context(), w, want, true)
	require.Error(t, err, "the devices are down")
	assert.NotContains(t, got.Routes, guard4)
}

func groupTurnsIntoBlackhole(t *testing.T, w World) {
	want := Sample()
	apply(t, w, want)
	dead := Sample()
	dead.Groups[0].Members = []uint32{routes.BlackholeID(routes.IPv4)}
	change := routes.Diff(dead, observeAll(t, w, dead), true)
	assert.Equal(t, 1, change.Len(), "one message for any number of routes")
	apply(t, w, dead)
	found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.2.0.1")})
	require.NoError(t, err)
	assert.True(t, found.Blackhole)
	apply(t, w, want)
}

func badEntryDoesNotStopOthers(t *testing.T, w World) {
	want := Sample()
	want.Nexthops[3].Device = "mesh9" // nexthop of lane 1
	for range 2 {
		got, err := Apply(t.Context(), w, want, true)
		require.ErrorContains(t, err, "device mesh9 does not exist")
		assert.Equal(t, want.Rules, got.Rules)
		assert.Equal(t, want.Routes, got.Routes, "all exist, so that no packet is sent unencrypted")
		assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, got.Groups[0].Members, "has another nexthop")
		assert.Equal(t, []uint32{routes.BlackholeID(routes.IPv4)}, got.Groups[2].Members, "has no other nexthop")
	}
	apply(t, w, Sample())
}

func foreignRoutesSurvive(t *testing.T, w World) {
	prefix := netip.MustParsePrefix("10.9.0.0/16")
	w.AddRoute(table, prefix, "mesh0", boot)
	want := []routes.ForeignRoute{{Prefix: prefix, Protocol: boot, Device: "mesh0", Blocks: true}}
	got := apply(t, w, Sample())
	assert.Equal(t, want, got.Foreign)
	left, err := routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	assert.Equal(t, want, left.Foreign)
}

func foreignRouteIsNotOverwritten(t *testing.T, w World) {
	want := Sample()
	w.AddRoute(table, want.Routes[0].Prefix, "mesh1", boot)
	got, err := Apply(t.Context(), w, want, true)
	require.ErrorContains(t, err, "10.2.0.0/16")
	require.ErrorContains(t, err, "protocol 3 dev mesh1")
	require.ErrorContains(t, err, "ip route del 10.2.0.0/16 table 7117 proto 3")
	assert.Equal(t, []routes.ForeignRoute{{Prefix: want.Routes[0].Prefix, Protocol: boot, Device: "mesh1", Blocks: true}}, got.Foreign)
	assert.Equal(t, want.Routes[1:], got.Routes)
}

// A route that was Meshway's when it was observed may have been replaced by a
// foreign one when it is deleted.
func foreignRouteIsNotDeleted(t *testing.T, w World) {
	prefix := netip.MustParsePrefix("10.9.0.0/16")
	w.AddRoute(table, prefix, "mesh0", boot)
	deletion := routes.Delta[routes.Route]{Delete: []routes.Route{{Prefix: prefix}}}
	require.NoError(t, w.Apply(t.Context(), routes.Change{Table: table, Routes: deletion}))
	assert.Len(t, observe(t, w).Foreign, 1)
}

func foreignNexthopSurvives(t *testing.T, w World) {
	id := routes.LaneNexthopID(1, routes.IPv4)
	foreign := []routes.ForeignNexthop{{ID: id, Protocol: boot}}
	w.AddNexthop(id, boot)
	want := Sample()
	got, err := Apply(t.Context(), w, want, true)
	var conflict routes.Conflict
	require.ErrorAs(t, err, &conflict)
	require.ErrorContains(t, err, "id 0x4d570004 belongs to protocol 3")
	assert.Equal(t, foreign, got.ForeignNexthops)
	assert.Equal(t, []uint32{routes.LaneNexthopID(0, routes.IPv4)}, got.Groups[0].Members, "keeps its other nexthop")
	assert.Equal(t, []uint32{routes.BlackholeID(routes.IPv4)}, got.Groups[2].Members, "has no other nexthop")
	assert.Equal(t, want.Routes, got.Routes)
	assert.True(t, routes.Diff(want, got, true).Empty(), "there is nothing left to write")
	_, err = Apply(t.Context(), w, want, true)
	require.ErrorAs(t, err, &conflict, "it is still an error")
	left, err := routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	assert.Equal(t, foreign, left.ForeignNexthops)
}

func deletingTwiceIsFine(t *testing.T, w World) {
	have := apply(t, w, Sample())
	have.Sysctls = nil
	deletion := routes.Diff(routes.Config{Table: table}, have, true)
	require.NoError(t, w.Apply(t.Context(), deletion))
	require.NoError(t, w.Apply(t.Context(), deletion))
	assert.Equal(t, routes.Config{Table: table}, observe(t, w).Config)
}

func foreignDeletionsAreRepaired(t *testing.T, w World) {
	want := Sample()
	applier := routes.Applier{Kernel: w}
	_, err := applier.Apply(t.Context(), want, true)
	require.NoError(t, err)
	wakes := watch(t, w)
	deletions := []func(){
		func() { w.DeleteRoute(table, want.Routes[0].Prefix) },
		func() { w.DeleteRoute(table, want.Routes[3].Prefix) },
		func() { w.DeleteRule(table, want.Rules[0]) },
		func() { w.DeleteRule(table, want.Rules[1]) },
		func() { w.DeleteNexthop(want.Groups[1].ID) }, // deletes one route, too
	}
	for _, deletion := range deletions {
		wakes.requireWake(t, deletion)
		got, err := applier.Apply(t.Context(), want, true)
		require.NoError(t, err)
		require.Equal(t, want, got.Config)
	}
	got, err := applier.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, uint64(len(deletions)+1), got.Repaired)
}

func ownWritesDoNotWake(t *testing.T, w World) {
	want := Sample()
	apply(t, w, want)
	wakes := watch(t, w)
	less := Sample()
	less.Routes, less.Groups = less.Routes[:1], less.Groups[:1]
	for range 3 {
		apply(t, w, less)
		apply(t, w, want)
	}
	// The event of a foreign deletion follows all events of our writes.
	wakes.requireWake(t, func() { w.DeleteRoute(table, want.Routes[0].Prefix) })
	assert.Equal(t, int64(2), wakes.n.Load(), "one at the start, one for the deletion")
}

func lookupReports(t *testing.T, w World) {
	want := Sample()
	apply(t, w, want)
	found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.3.4.5")})
	require.NoError(t, err)
	assert.Equal(t, want.Routes[1].Prefix, found.Prefix)
	assert.Equal(t, want.Routes[1].Nexthop, found.Nexthop)
	assert.Equal(t, table, found.Table)
	assert.Equal(t, "mesh1", found.Device)

	found, err = w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("fd00:2::7")})
	require.NoError(t, err)
	assert.Equal(t, routes.Lookup{
		Table: table, Prefix: want.Routes[3].Prefix, Device: "mesh0",
		Source: netip.MustParseAddr("fd00:1::1"), Nexthop: want.Routes[3].Nexthop,
	}, found)

	found, err = w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.4.0.1")})
	require.NoError(t, err)
	assert.True(t, found.Blackhole)

	_, err = w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("203.0.113.1")})
	require.ErrorIs(t, err, routes.ErrNoRoute)
}

func sysctlsAreRestored(t *testing.T, w World) {
	want := Sample()
	keys := []string{want.Sysctls[0].Key, want.Sysctls[1].Key}
	before, err := w.Sysctls(t.Context(), keys)
	require.NoError(t, err)
	apply(t, w, want)
	w.SetSysctl(routes.Sysctl{Key: keys[0], Value: "1"})
	_, err = routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	after, err := w.Sysctls(t.Context(), append(keys, "net/ipv4/no_such_key"))
	require.NoError(t, err)
	assert.Equal(t, []routes.Sysctl{{Key: keys[0], Value: "1"}, before[1]}, after,
		"the first was changed by another program since")

	missing := routes.Config{Table: table, Sysctls: []routes.Sysctl{{Key: "net/ipv4/no_such_key", Value: "1"}}}
	_, err = Apply(t.Context(), w, missing, true)
	require.ErrorContains(t, err, "set sysctl net/ipv4/no_such_key=1")
}

func removalLeavesNothing(t *testing.T, w World) {
	apply(t, w, Sample())
	left, err := routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	assert.Equal(t, routes.Observed{Config: routes.Config{Table: table}}, left)
	left, err = routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	assert.Equal(t, routes.Observed{Config: routes.Config{Table: table}}, left)
}

func foreignSourceIsRefused(t *testing.T, w World) {
	want := Sample()
	want.Routes[0].Source = netip.MustParseAddr("192.0.2.77")
	got, err := Apply(t.Context(), w, want, true)
	require.ErrorContains(t, err, "add route 10.2.0.0/16")
	assert.False(t, errors.Is(err, routes.ErrNoRoute))
	assert.Equal(t, want.Routes[1:], got.Routes)
}

func routeMoves(t *testing.T, w World) {
	want := Sample()
	apply(t, w, want)
	want.Routes[0].Nexthop = routes.GroupID(1, routes.IPv4)
	want.Routes[0].Source = netip.Addr{}
	change := routes.Diff(want, observeAll(t, w, want), true)
	assert.Equal(t, want.Routes[:1], change.Routes.Replace)
	assert.Equal(t, 1, change.Len())
	apply(t, w, want)
}

// throwRouteEndsLookup excludes a part of a prefix, and then all of it. In the
// table of the later rule, the range is reached over another device.
func throwRouteEndsLookup(t *testing.T, w World) {
	const other = 300
	for _, c := range []struct {
		prefix, part, inside, outside string
		family                        routes.Family
	}{
		{"10.3.0.0/16", "10.3.7.0/24", "10.3.7.1", "10.3.8.1", routes.IPv4},
		{"fd00:2::/48", "fd00:2:0:7::/64", "fd00:2:0:7::1", "fd00:2:0:8::1", routes.IPv6},
	} {
		w.AddRoute(other, netip.MustParsePrefix(c.prefix), "mesh0", boot)
		w.AddRule(other, routes.Rule{Family: c.family, Priority: routes.DefaultRulePriority + 1, Mark: 0x40})
		want := Sample()
		i := slices.IndexFunc(want.Routes, func(r routes.Route) bool { return r.Prefix.String() == c.prefix })
		want.Routes = slices.Insert(want.Routes, i+1, routes.Route{Prefix: netip.MustParsePrefix(c.part), Kind: routes.Throw})
		apply(t, w, want)
		requireTable(t, w, c.inside, other)
		requireTable(t, w, c.outside, table)

		want = Sample()
		want.Routes[i] = routes.Route{Prefix: want.Routes[i].Prefix, Kind: routes.Throw}
		apply(t, w, want)
		requireTable(t, w, c.outside, other)
		apply(t, w, Sample())
		requireTable(t, w, c.inside, table)
	}
}

func requireTable(t *testing.T, w World, address string, want int) {
	t.Helper()
	found, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr(address)})
	require.NoError(t, err)
	assert.Equal(t, want, found.Table, "the table of the route to %s", address)
}

// observeAll observes the state as an Applier does, including the sysctls.
func observeAll(t *testing.T, w World, want routes.Config) routes.Observed {
	t.Helper()
	got := observe(t, w)
	got.Sysctls = want.Sysctls
	return got
}
