package routestest

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
)

// ToNodes returns the Sample of a gateway that routes packets from its lane to
// the pods of two nodes through a tunnel.
func ToNodes() routes.Config {
	c := Sample()
	for i, f := range []routes.Family{routes.IPv6, routes.IPv4} {
		c.Rules = slices.Insert(c.Rules, 1-i, routes.Rule{Family: f, Priority: routes.DefaultRulePriority - 1, In: "mesh0"})
	}
	for _, prefix := range []string{"10.1.7.0/24", "10.2.0.0/16"} { // the second is in both tables
		c.Routes = append(c.Routes, routes.Route{
			Prefix: netip.MustParsePrefix(prefix), Nexthop: routes.LaneNexthopID(1, routes.IPv4), ToNode: true,
		})
	}
	return c
}

func nodeRoutes(t *testing.T, w World) {
	want := ToNodes()
	got := apply(t, w, want)
	assert.True(t, routes.Diff(want, got, true).Empty(), routes.Diff(want, got, true))
	_, err := w.Lookup(t.Context(), routes.Query{Destination: netip.MustParseAddr("10.1.7.1")})
	require.ErrorIs(t, err, routes.ErrNoRoute, "packets of this host do not use them")

	wakes := watch(t, w)
	wakes.requireWake(t, func() { w.DeleteRule(table, want.Rules[0]) })
	apply(t, w, want)
	wakes.requireWake(t, func() { w.DeleteRoute(routes.NodesTable(table), want.Routes[5].Prefix) })
	apply(t, w, want)

	foreign := netip.MustParsePrefix("10.1.9.0/24")
	w.AddRoute(routes.NodesTable(table), foreign, "mesh0", boot)
	apply(t, w, Sample())
	left, err := routes.Remove(t.Context(), w, table)
	require.NoError(t, err)
	assert.Equal(t, routes.Observed{Config: routes.Config{Table: table}}, left)
}

func ruleWithAnotherTable(t *testing.T, w World) {
	want := ToNodes()
	for _, r := range want.Rules {
		other := table
		if r.Table(table) == table {
			other = routes.NodesTable(table)
		}
		w.AddRule(other, r)
	}
	assert.Empty(t, observe(t, w).Rules)
	apply(t, w, want)
	w.DeleteRule(table, want.Rules[0])
	assert.Equal(t, want.Rules[1:], observe(t, w).Rules, "the other rule still exists")
	apply(t, w, want)
}
