package status_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// member is east/a in a federation with north, which is unreachable, and west,
// which has two gateways, one of them up.
func member() status.Sources {
	in := inputs()
	desired, problems := gatewayplan.Compute(in)
	tunnels := observed(desired)
	tunnels[0].Peers[1].LastHandshake = now.Add(-time.Minute) // west/a
	tunnels[0].Peers[1].ReceivedBytes, tunnels[0].Peers[1].TransmittedBytes = 1000, 2000
	return status.Sources{
		At: now, StartedAt: now.Add(-time.Hour), Version: "1.0", State: status.Member,
		PublicKey: tunnel.PublicKey{1}, Certificate: now.Add(20 * time.Hour),
		Inputs: in, Desired: desired, Problems: append(problems, problems[0]),
		Services: map[catalog.DatacenterName]int{"west": 2},
		Consensus: consensus.Status{
			Role: "follower", Leader: "west/a", Term: 7, AppliedIndex: 41, CommitIndex: 42,
			LastContact: 100 * time.Millisecond, Timers: "wan",
			Peers: []consensus.Peer{
				{ID: "west/a", Voter: true, Healthy: true},
				{ID: "east/a", Voter: true, Healthy: true},
				{ID: "north/a", Voter: true},
				{ID: "west/b"},
				{ID: "east/b", Healthy: true},
			},
		},
		Queue:        status.Queue{Pending: 2, Since: now.Add(-time.Minute)},
		MultiCluster: &status.MultiCluster{Writer: true, Exports: 3, Imports: 5, EndpointSlices: 8, WriteErrors: 1},
		Applied: status.Applied{
			Tunnels:   tunnels,
			Routes:    routes.Observed{Config: desired.Routes, Foreign: []routes.ForeignRoute{foreignRoute()}, Repaired: 3},
			Dropped:   []routes.Counter{{Name: routes.CounterTunnel, Packets: 2}, {Name: routes.CounterUnencrypted}},
			LastApply: now,
		},
	}
}

func inputs() plan.Inputs {
	return plan.Inputs{
		Self: "east/a",
		Config: config.Config{
			Datacenter: "east", Gateway: "a",
			WireGuard: config.WireGuard{Interface: "mesh", Port: 51820},
			Routing:   config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
		},
		Host: plan.Host{Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}},
		Catalog: plan.Catalog{
			Federation: catalog.Federation{ID: "f1", Name: "demo", Overlay: netip.MustParsePrefix("fd77::/48")},
			Datacenters: []catalog.Datacenter{
				datacenter("west", 3, "10.3.0.0/16", "10.103.0.0/16"), datacenter("east", 1, "10.1.0.0/16"), datacenter("north", 2, "10.2.0.0/16"),
			},
			Gateways: []catalog.Gateway{
				gateway("west", "b", 1, 4), gateway("west", "a", 0, 3), gateway("east", "b", 1, 5), gateway("east", "a", 0, 1), gateway("north", "a", 0, 2),
			},
			Index: 41,
		},
		Endpoints: map[catalog.GatewayID][]netip.AddrPort{
			"north/a": {netip.MustParseAddrPort("192.0.2.2:51820")}, "west/a": {netip.MustParseAddrPort("192.0.2.3:51820")},
			"west/b": {netip.MustParseAddrPort("192.0.2.4:51820")},
		},
		Observed: plan.Observed{Sessions: []plan.Session{
			{Gateway: "west/b", Since: now.Add(-time.Minute), LastPacket: now.Add(-time.Minute), Loss: 1},
			{Gateway: "west/a", Up: true, Since: now.Add(-time.Hour), LastPacket: now, RTT: 20 * time.Millisecond, Loss: 0.25},
			{Gateway: "north/a", Since: now.Add(-time.Hour)},
		}, PathMTUs: map[catalog.GatewayID]int{"west/a": 1340}},
		Synced: plan.Synced{Catalog: true, Host: true},
		Now:    now,
	}
}

func datacenter(name catalog.DatacenterName, ordinal uint32, pods string, services ...string) catalog.Datacenter {
	dc := catalog.Datacenter{Name: name, Ordinal: ordinal, JoinedAt: now.Add(-24 * time.Hour)}
	for _, s := range services {
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(s), Kind: catalog.ServicePrefix})
	}
	dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(pods), Kind: catalog.PodPrefix})
	return dc
}

func gateway(dc catalog.DatacenterName, name string, index uint32, n byte) catalog.Gateway {
	return catalog.Gateway{
		Datacenter: dc, Name: name, Index: index, PublicKey: catalog.Key{n}, Version: "1.0",
		Overlay:   netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 15: n}),
		Endpoints: []string{"gw.example:51820"}, Controls: []string{"gw.example:7443"},
	}
}

func foreignRoute() routes.ForeignRoute {
	return routes.ForeignRoute{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Protocol: 4, Device: "eth1"}
}

// observed returns the data plane after a plan was applied.
func observed(d plan.Desired) []tunnel.Observed {
	var out []tunnel.Observed
	for _, c := range slices.Backward(d.Tunnels) {
		o := tunnel.Observed{Config: c, Up: true, Dataplane: "userspace"}
		for _, p := range c.Peers {
			o.Peers = append(o.Peers, tunnel.ObservedPeer{Peer: p})
		}
		o.Config.Peers = nil
		out = append(out, o)
	}
	slices.Reverse(out)
	return out
}

func standalone() status.Sources {
	return status.Sources{At: now, StartedAt: now, Version: "1.0", State: status.Standalone, Inputs: plan.Inputs{Self: "east/a"}}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(filepath.Clean(path))
	require.NoError(t, err, "run go test -update")
	assert.Equal(t, string(want), string(got))
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	return append(b, '\n')
}

func TestJSONMatchesGoldens(t *testing.T) {
	golden(t, "member.json", text(t, status.Build(member())))
	golden(t, "standalone.json", text(t, status.Build(standalone())))
}

func TestJSONRoundTripPreservesTheSnapshot(t *testing.T) {
	for _, s := range []status.Sources{member(), standalone()} {
		want := status.Build(s)
		var got status.Snapshot
		require.NoError(t, json.Unmarshal(text(t, want), &got))
		assert.Equal(t, want, got)
	}
}

func TestJSONHasNoNullLists(t *testing.T) {
	for name, v := range map[string]any{
		"nothing":    status.Build(status.Sources{}),
		"standalone": status.Build(standalone()),
		"routes":     status.BuildRoutes(status.RouteSources{}),
		"bare records": status.Build(status.Sources{Inputs: plan.Inputs{Catalog: plan.Catalog{
			Datacenters: []catalog.Datacenter{{Name: "west"}}, Gateways: []catalog.Gateway{{Datacenter: "west", Name: "a"}},
		}}}),
	} {
		assert.NotContains(t, string(text(t, v)), "null", name)
	}
}

func TestDatacenterIsReachableWhileOneGatewayIsUp(t *testing.T) {
	reachable := map[string]bool{}
	for _, dc := range status.Build(member()).Datacenters {
		reachable[dc.Name] = dc.Reachable
	}
	assert.Equal(t, map[string]bool{"east": true, "north": false, "west": true}, reachable)
}

func TestMissingInterfaceIsShownDown(t *testing.T) {
	s := member()
	s.Tunnels = s.Tunnels[:1]
	s.Tunnels[0].Err = errors.New("does not answer")
	got := status.Build(s).Tunnels
	require.Len(t, got, 2)
	for i, name := range []string{"mesh0", "mesh1"} {
		assert.Equal(t, name, got[i].Name)
		assert.False(t, got[i].Up)
	}
}

func TestProblemsAreListedOnceAndErrorsFirst(t *testing.T) {
	s := member()
	require.NotEqual(t, len(s.Problems), len(status.Build(s).Problems), "the fixture has a duplicate")
	got := status.Build(s).Problems
	require.NotEmpty(t, got)
	assert.True(t, slices.IsSortedFunc(got, plan.CompareProblems))
	assert.Equal(t, plan.Error, got[0].Severity)
}

func TestStatusNamesTheGatewaysThatHoldBackAFeatureLevel(t *testing.T) {
	s := member()
	for i, g := range s.Inputs.Catalog.Gateways {
		if g.ID() != "west/b" && g.ID() != "north/a" {
			s.Inputs.Catalog.Gateways[i].FeatureLevel = 3
		}
	}
	federation := status.Build(s).Federation
	assert.Equal(t, uint32(2), federation.FeatureLevel)
	assert.Equal(t, &status.HeldBack{FeatureLevel: 3, Gateways: []string{"north/a", "west/b"}}, federation.HeldBack)
}

// The level of a gateway is what it states itself.
func TestGatewayThatStatesAnUnknownLevelIsNoFaultOfTheOthers(t *testing.T) {
	s := member()
	for i, g := range s.Inputs.Catalog.Gateways {
		s.Inputs.Catalog.Gateways[i].FeatureLevel = catalog.Level
		if g.ID() == "north/a" {
			s.Inputs.Catalog.Gateways[i].FeatureLevel = 1<<32 - 1
		}
	}
	federation := status.Build(s).Federation
	assert.Equal(t, uint32(catalog.Level), federation.FeatureLevel)
	assert.Nil(t, federation.HeldBack)
}
