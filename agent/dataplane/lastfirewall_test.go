package dataplane_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestTheLastFirewallIsRestoredAfterABoot(t *testing.T) {
	store := state.File[routes.Firewall]{Path: filepath.Join(t.TempDir(), "firewall.json"), What: "firewall"}
	boot := func() (*dataplane.LastFirewall, *routestest.Filter) {
		host := routestest.NewFilter()
		return &dataplane.LastFirewall{Filter: host, Store: store}, host
	}
	f, host := boot()
	require.NoError(t, f.Restore(t.Context()), "nothing is stored")
	assert.Zero(t, host.Writes())
	want := routestest.SampleFirewall()
	require.NoError(t, f.Apply(t.Context(), want))

	f, host = boot()
	require.NoError(t, f.Restore(t.Context()))
	got, exists := host.Applied()
	assert.True(t, exists)
	assert.Equal(t, want, got)
	less := want
	less.Remote = less.Remote[:1]
	require.NoError(t, host.Apply(t.Context(), less))
	require.NoError(t, f.Restore(t.Context()), "the agent restarts without a boot")
	got, _ = host.Applied()
	assert.Equal(t, less, got, "an existing table may be newer")

	require.NoError(t, f.Remove(t.Context()))
	f, host = boot()
	require.NoError(t, f.Restore(t.Context()))
	assert.Zero(t, host.Writes(), "the datacenter has left")
}

func TestAFirewallThatCannotBeStoredIsApplied(t *testing.T) {
	host := routestest.NewFilter()
	f := &dataplane.LastFirewall{Filter: host, Store: state.File[routes.Firewall]{Path: "/proc/none/firewall.json", What: "firewall"}}
	for range 2 {
		require.ErrorContains(t, f.Apply(t.Context(), routestest.SampleFirewall()), "write firewall")
	}
	assert.Equal(t, 1, host.Writes())
}
