package routestest

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
)

// FilterWorld is a filter and the operations of other programs on its table.
// *Filter implements FilterWorld.
type FilterWorld interface {
	routes.Filter
	Break()          // changes the table as another program would
	Written() string // differs after each write
}

// FilterContract runs the contract tests of a routes.Filter, each in a new world.
func FilterContract(t *testing.T, world func(t *testing.T) FilterWorld) {
	t.Helper()
	tests := map[string]func(*testing.T, FilterWorld){
		"before the first apply there is no table": absentAtFirst,
		"an intact table is not written again":     intactIsNotWritten,
		"a changed table is detected and repaired": brokenIsRepaired,
		"another firewall replaces the table":      changedFirewallReplaces,
		"removing twice is no error":               removingTwiceIsFine,
		"a new table has counted nothing":          newTableHasCountedNothing,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, world(t)) })
	}
}

// SampleFirewall returns a firewall with one lane to one datacenter.
func SampleFirewall() routes.Firewall {
	remote := []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd00:2::/48")}
	return routes.Firewall{
		Lanes:       []routes.Lane{{Device: "mesh0", Sources: remote}},
		Local:       []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/48")},
		Remote:      remote,
		TunnelPorts: []uint16{51820},
		ControlPort: 7443,
		Mark:        routes.DefaultMark,
	}
}

func state(t *testing.T, w FilterWorld) routes.TableState {
	t.Helper()
	found, err := w.State(t.Context())
	require.NoError(t, err)
	return found
}

func absentAtFirst(t *testing.T, w FilterWorld) {
	assert.Equal(t, routes.TableAbsent, state(t, w))
}

func intactIsNotWritten(t *testing.T, w FilterWorld) {
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	assert.Equal(t, routes.TableIntact, state(t, w))
	written := w.Written()
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	assert.Equal(t, written, w.Written())
}

func newTableHasCountedNothing(t *testing.T, w FilterWorld) {
	counters, err := w.Counters(t.Context())
	require.NoError(t, err)
	assert.Empty(t, counters, "there is no table")
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	counters, err = w.Counters(t.Context())
	require.NoError(t, err)
	var want []routes.Counter
	for _, name := range routes.Counters() {
		want = append(want, routes.Counter{Name: name})
	}
	assert.ElementsMatch(t, want, counters)
}

func brokenIsRepaired(t *testing.T, w FilterWorld) {
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	written := w.Written()
	w.Break()
	assert.Equal(t, routes.TableOther, state(t, w))
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	assert.Equal(t, routes.TableIntact, state(t, w))
	assert.NotEqual(t, written, w.Written())
}

func changedFirewallReplaces(t *testing.T, w FilterWorld) {
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	written := w.Written()
	fw := SampleFirewall()
	fw.Lanes[0].Sources = fw.Lanes[0].Sources[:1]
	require.NoError(t, w.Apply(t.Context(), fw))
	assert.Equal(t, routes.TableIntact, state(t, w))
	assert.NotEqual(t, written, w.Written())
}

func removingTwiceIsFine(t *testing.T, w FilterWorld) {
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	require.NoError(t, w.Remove(t.Context()))
	assert.Equal(t, routes.TableAbsent, state(t, w))
	require.NoError(t, w.Remove(t.Context()))
	require.NoError(t, w.Apply(t.Context(), SampleFirewall()))
	assert.Equal(t, routes.TableIntact, state(t, w))
}
