package dataplane

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
)

func TestALeavingGatewayGuardsWhatAllOthersAnnounceAndAnnouncedLately(t *testing.T) {
	w := newGatewayWorld(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	_, planned := w.Leaving(now)
	assert.False(t, planned, "before the first pass")
	w.pass(t.Context())
	other, _ := w.catalog.View().Datacenter("dc1")
	require.NotEmpty(t, other.Prefixes)
	p := *w.last.Load()
	lately := plan.Withdrawn{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.99.0.0/16")}, At: now.Add(-time.Minute)}
	p.inputs.Withdrawn = []plan.Withdrawn{lately, {Datacenter: "south", Prefix: other.Prefixes[0], At: now}}
	w.last.Store(&p)
	left, planned := w.Leaving(now)
	assert.True(t, planned)
	var want []plan.Withdrawn
	for _, announced := range other.Prefixes {
		want = append(want, plan.Withdrawn{Datacenter: "dc1", Prefix: announced, At: now})
	}
	assert.Equal(t, append(want, lately), left.Prefixes)
	p.inputs.Config.Witness = true
	left, _ = w.Leaving(now)
	assert.Empty(t, left.Prefixes, "a witness routed nothing")
}

func TestAHostThatLeftKeepsItsFirewallWhateverFails(t *testing.T) {
	filter, host := routestest.NewFilter(), &fakeHost{err: assert.AnError}
	path := filepath.Join(t.TempDir(), "left.json")
	k := Kernel{
		Tunnels: newGatewayWorld(t).tunnels, Routes: routestest.NewKernel(), Firewall: filter,
		Left: state.File[plan.Left]{Path: path, What: "left"},
	}
	require.NoError(t, filter.Apply(t.Context(), routestest.SampleFirewall()), "of the member")
	d := NewDeparted(newGatewayWorld(t).cfg.File, k, host, StaticSite(nil), func() {}, slog.New(slog.DiscardHandler))
	require.NoError(t, d.Run(t.Context()), "no federation was left")
	removed, err := Leave(t.Context(), k, 7117, plan.Left{Federation: "f", Prefixes: []plan.Withdrawn{
		{Datacenter: "west", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.2.0.0/16")}},
	}})
	require.NoError(t, err)
	assert.Contains(t, removed, "still dropped (10.2.0.0/16 of west)")
	pass := func(want time.Duration) ([]netip.Prefix, status.Sources) {
		assert.Equal(t, want, d.pass(t.Context()))
		assert.True(t, d.Guards())
		fw, exists := filter.Applied()
		require.True(t, exists)
		var s status.Sources
		d.Fill(&s)
		return fw.Remote, s
	}
	remote, s := pass(retryInterval)
	assert.Equal(t, routestest.SampleFirewall().Remote, remote, "the addresses of the host are not known")
	assert.NotEmpty(t, s.Errors)
	host.err = nil
	want := []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	remote, s = pass(resyncInterval)
	assert.Equal(t, want, remote)
	assert.Empty(t, s.Errors)
	assert.Len(t, s.Problems, 1)
	require.NoError(t, filter.Remove(t.Context()), "by another program")
	remote, _ = pass(resyncInterval)
	assert.Equal(t, want, remote)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	remote, s = pass(retryInterval)
	assert.Equal(t, want, remote)
	assert.Len(t, s.Problems, 1, "of what still stands")
	assert.NotEmpty(t, s.Errors)
}

func TestALeaveThatGuardsNothingCleansUp(t *testing.T) {
	filter := routestest.NewFilter()
	k := Kernel{
		Tunnels: newGatewayWorld(t).tunnels, Routes: routestest.NewKernel(), Firewall: filter,
		Left: state.File[plan.Left]{Path: filepath.Join(t.TempDir(), "left.json"), What: "left"},
	}
	require.NoError(t, filter.Apply(t.Context(), routestest.SampleFirewall()))
	removed, err := Leave(t.Context(), k, 7117, plan.Left{Federation: "f"})
	require.NoError(t, err)
	assert.Equal(t, "tunnels, routes and firewall are removed", removed)
	_, exists := filter.Applied()
	assert.False(t, exists)
}
