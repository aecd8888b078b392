package routes_test

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const scenarioFile = "testdata/scenarios.txt"

type scenario struct {
	name string
	want routes.Config
}

// scenarios returns successive states of a datacenter with two lanes.
func scenarios() []scenario {
	sample := routestest.Sample
	alone := sample()
	alone.Nexthops, alone.Groups, alone.Routes = nil, nil, nil
	deadLane := sample()
	deadLane.Groups[0].Members = []uint32{routes.LaneNexthopID(0, routes.IPv4)}
	deadLane.Groups[2].Members = []uint32{routes.BlackholeID(routes.IPv4)}
	cutOff := sample()
	for i := range cutOff.Groups {
		f := cutOff.Groups[i].Family
		cutOff.Groups[i].Members = []uint32{routes.BlackholeID(f)}
	}
	cutOff.Nexthops = append(cutOff.Nexthops[:1:1],
		append([]routes.Nexthop{{ID: routes.BlackholeID(routes.IPv6), Family: routes.IPv6}}, cutOff.Nexthops[1:]...)...)
	moved := sample()
	moved.Rules[0].Priority, moved.Rules[1].Priority = 5500, 5500
	left := sample()
	left.Groups, left.Routes = left.Groups[:2], []routes.Route{left.Routes[0], left.Routes[3]}
	return []scenario{
		{"alone in the federation", alone},
		{"three others, one unreachable", sample()},
		{"lane 1 is down", deadLane},
		{"no datacenter is reachable", cutOff},
		{"rules at another priority", moved},
		{"two others have left", left},
		{"nothing", routes.Config{Table: routes.DefaultTable}},
	}
}

// world returns a kernel with foreign entries, which must be kept in every state.
func world() *routestest.Kernel {
	k := kernel()
	k.AddRoute(routes.DefaultTable, netip.MustParsePrefix("10.99.0.0/16"), "eth0", 3)
	k.AddRoute(254, netip.MustParsePrefix("10.2.0.0/16"), "eth0", 2)
	k.AddNexthop(7, 3)
	return k
}

func TestApplierReachesEveryScenarioInAnyOrder(t *testing.T) {
	k := world()
	golden := map[string]string{}
	var text strings.Builder
	for _, s := range scenarios() {
		_, err := routestest.Apply(t.Context(), k, s.want, true)
		require.NoError(t, err, s.name)
		golden[s.name] = withoutSysctls(k.String())
		text.WriteString("-- " + s.name + " --\n" + golden[s.name])
	}
	if *update {
		require.NoError(t, os.WriteFile(scenarioFile, []byte(text.String()), 0o600))
	}
	want, err := os.ReadFile(scenarioFile)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String())

	r := rand.New(rand.NewPCG(3, 4))
	all := scenarios()
	for range 200 {
		s := all[r.IntN(len(all))]
		_, err := routestest.Apply(t.Context(), k, s.want, true)
		require.NoError(t, err, s.name)
		require.Equal(t, golden[s.name], withoutSysctls(k.String()), s.name)
	}
	_, err = routes.Remove(t.Context(), k, routes.DefaultTable)
	require.NoError(t, err)
	assert.Equal(t, world().String(), k.String(), "only foreign entries remain")
}

// withoutSysctls removes the lines that depend on the preceding states, because
// only Remove restores sysctls.
func withoutSysctls(state string) string {
	var lines strings.Builder
	for line := range strings.Lines(state) {
		if !strings.HasPrefix(line, "sysctl ") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}
