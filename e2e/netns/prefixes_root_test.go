//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	managementRouter = "192.168.50.2"
	managementHost   = "10.12.200.1" // in the range of the pods of west
)

// addManagement connects a management network to the gateway of a datacenter,
// with a range that is a part of the pod prefix of west, the second datacenter.
func addManagement(t *testing.T, topology *harness.Topology, dc *harness.Datacenter) *harness.Host {
	t.Helper()
	management, err := topology.Lab.Host(t.Context(), "management")
	require.NoError(t, err)
	require.NoError(t, topology.Lab.Link(
		harness.End{Host: dc.Gateway, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.50.1/24")}},
		harness.End{Host: management, Addresses: []netip.Prefix{netip.MustParsePrefix(managementRouter + "/24")}}, 1500))
	run(t, management, "ip address add "+managementHost+"/24 dev lo", "ip route add default via 192.168.50.1")
	run(t, dc.Gateway, "ip route add 10.12.200.0/24 via "+managementRouter)
	return management
}

// requireManagement requires that the management network and a pod of a
// datacenter reach each other.
func requireManagement(t *testing.T, management *harness.Host, dc *harness.Datacenter) {
	t.Helper()
	ping(t, dc.Gateway, managementHost)
	ping(t, dc.Workloads[0].Host, managementHost)
	run(t, management, fmt.Sprintf("ping -c 1 -W 5 -I %s %s", managementHost, dc.Workloads[0].Pod))
}

func ping(t *testing.T, from *harness.Host, to string) {
	t.Helper()
	run(t, from, "ping -c 1 -W 5 "+to)
}

// awaitProblem waits until the status has a problem of this code.
func awaitProblem(t *testing.T, dc *harness.Datacenter, code string) plan.Problem {
	t.Helper()
	var found plan.Problem
	eventually(t, timeout, "problem "+code, func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == code })
		if i < 0 {
			return fmt.Errorf("the problems are %v", snapshot.Problems)
		}
		found = snapshot.Problems[i]
		return nil
	})
	return found
}

func awaitNoProblem(t *testing.T, dc *harness.Datacenter, code string) {
	t.Helper()
	eventually(t, timeout, "no problem "+code, func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool { return p.Code == code }) {
			err = fmt.Errorf("the problems are %v", snapshot.Problems)
		}
		return err
	})
}

// TestLocalRoutesWinOverThePrefixesOfOtherDatacenters joins west through north,
// which has no route of its own in the range of west.
func TestLocalRoutesWinOverThePrefixesOfOtherDatacenters(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	management := addManagement(t, topology, east)
	federate(t, north, east)
	requireManagement(t, management, east)

	runAgent(t, west)
	meshctl(t, west, "join", token(t, north))
	awaitFederation(t, east, west, north)
	requireManagement(t, management, east)
	requireTraffic(t, east, west)
	requireTraffic(t, west, east)
	problem := awaitProblem(t, east, "prefix-local")
	assert.Contains(t, problem.Message, "10.12.200.0/24 via "+managementRouter)
	assert.Contains(t, problem.Remedy, "routing.accept.west")
	assert.Contains(t, problem.Remedy, "routing.yield")

	t.Run("the same route", func(t *testing.T) {
		run(t, east.Gateway, "ip route add 10.12.0.0/16 via "+managementRouter)
		eventually(t, timeout, "10.12.0.1 takes the local route", func(ctx context.Context) error { return routed(ctx, east, "10.12.0.1", "via "+managementRouter) })
		assert.Contains(t, awaitProblem(t, east, "prefix-local").Message, "10.12.0.0/16")
		run(t, east.Gateway, "ip route del 10.12.0.0/16 via "+managementRouter)
		started := time.Now()
		eventually(t, timeout, "10.12.0.1 takes the tunnel", func(ctx context.Context) error { return routed(ctx, east, "10.12.0.1", "mesh0") })
		assert.Less(t, time.Since(started), 5*time.Second)
		requireTraffic(t, east, west)
	})
	t.Run("a range that yields", func(t *testing.T) {
		restart(t, east, "routing: {yield: [10.12.200.0/24]}")
		eventually(t, timeout, "the range takes the tunnel", func(ctx context.Context) error { return routed(ctx, east, managementHost, "mesh0") })
		awaitNoProblem(t, east, "prefix-local")
	})
	t.Run("accepted ranges", func(t *testing.T) {
		restart(t, east, "routing: {accept: {west: [10.12.0.0/17, 10.22.0.0/16, 'fd00::/8']}}")
		eventually(t, timeout, "the rest stays local", func(ctx context.Context) error { return routed(ctx, east, managementHost, "via "+managementRouter) })
		awaitNoProblem(t, east, "prefix-local")
		awaitFederation(t, east, west, north)
		requireManagement(t, management, east)
		requireTraffic(t, east, west)
	})
}

func restart(t *testing.T, dc *harness.Datacenter, extra ...string) {
	t.Helper()
	require.NoError(t, dc.Agent.Terminate(within(t, timeout)))
	runAgent(t, dc, extra...)
}

// routed reports whether the route of a packet of the gateway contains words.
func routed(ctx context.Context, dc *harness.Datacenter, address, words string) error {
	out, err := dc.Gateway.Exec(ctx, "ip", "route", "get", address)
	if err == nil && !strings.Contains(out, words) {
		err = fmt.Errorf("the route is %s", out)
	}
	return err
}

// TestJoinThatWouldCoverWhatTheInviterReachesIsRefused: nothing is promised to a
// datacenter whose prefixes the inviting gateway could not route completely.
func TestJoinThatWouldCoverWhatTheInviterReachesIsRefused(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	management := addManagement(t, topology, east)
	federate(t, east)
	runAgent(t, west)
	invitation := token(t, east)
	before, beforeWest := kernelState(t, east.Gateway), kernelState(t, west.Gateway)

	out, err := west.Meshctl(within(t, timeout), "join", invitation)
	assert.Equal(t, exitRefused, harness.ExitCode(err), out)
	for _, words := range []string{"10.12.200.0/24 via " + managementRouter, "gateway east/east", "datacenter east", "routing.accept.west"} {
		assert.Contains(t, out, words)
	}
	assert.Equal(t, before, kernelState(t, east.Gateway))
	assert.Equal(t, beforeWest, kernelState(t, west.Gateway))
	awaitMembers(t, east, "east")

	restart(t, east, "routing: {accept: {west: [10.12.0.0/17, 10.22.0.0/16, 'fd00::/8']}}")
	eventually(t, timeout, "west joins with the same token", func(ctx context.Context) error {
		_, err := west.Meshctl(ctx, "join", invitation)
		return err
	})
	awaitFederation(t, east, west)
	requireManagement(t, management, east)
	requireTraffic(t, east, west)
}

func TestOverlayThatCoversTheHostIsRefused(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	for _, dc := range topology.Datacenters {
		runAgent(t, dc)
	}
	before := kernelState(t, east.Gateway)
	out, err := east.Meshctl(within(t, timeout), "init", "--overlay", east.Underlay.Masked().String())
	assert.Equal(t, exitRefused, harness.ExitCode(err), out)
	assert.Contains(t, out, "overlay")
	assert.Equal(t, before, kernelState(t, east.Gateway))

	// The overlay is outside of east, but contains the network of north.
	meshctl(t, west, "init", "--overlay", north.Underlay.Masked().String())
	invitation := token(t, west)
	before = kernelState(t, north.Gateway)
	out, err = north.Meshctl(within(t, timeout), "join", invitation)
	assert.Equal(t, exitRefused, harness.ExitCode(err), out)
	assert.Contains(t, out, north.Underlay.Masked().String())
	assert.Equal(t, before, kernelState(t, north.Gateway))
	awaitMembers(t, west, "west")
	meshctl(t, east, "join", invitation)
	awaitFederation(t, west, east)
}

// TestAJoinThatTakesOverARouteOfAPolicyRuleIsRefused has the route to the management network
// in a table of its own.
func TestAJoinThatTakesOverARouteOfAPolicyRuleIsRefused(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	management := addManagement(t, topology, east)
	run(t, east.Gateway, "ip route del 10.12.200.0/24", "ip route add 10.12.200.0/24 via "+managementRouter+" table 100", "ip rule add pref 200 lookup 100")
	runAgent(t, east)
	_, err := east.Meshctl(within(t, timeout), "init", "--overlay", "10.12.192.0/20")
	require.ErrorContains(t, err, "10.12.200.0/24 via "+managementRouter+" of table 100")
	meshctl(t, east, "init")
	runAgent(t, west)
	_, err = west.Meshctl(within(t, timeout), "join", token(t, east))
	require.ErrorContains(t, err, "10.12.200.0/24 via "+managementRouter+" of table 100")
	require.ErrorContains(t, err, "routing.accept.west")
	requireManagement(t, management, east)
}

// TestRoutesOfPolicyRulesWinOverThePrefixesThatAreAnnouncedAfterThem joins west through
// north, which has no route in the range of west.
func TestRoutesOfPolicyRulesWinOverThePrefixesThatAreAnnouncedAfterThem(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	management := addManagement(t, topology, east)
	run(t, east.Gateway,
		"ip route del 10.12.200.0/24", "ip route add 10.12.200.0/24 via "+managementRouter+" table 100",
		"ip route add 10.98.7.0/24 via "+managementRouter+" table 100", "ip rule add pref 200 lookup 100")
	federate(t, north, east)
	runAgent(t, west)
	meshctl(t, west, "join", token(t, north))
	awaitFederation(t, east, west, north)
	local := func(prefix string) {
		t.Helper()
		requireManagement(t, management, east)
		requireTraffic(t, east, west)
		eventually(t, timeout, prefix+" is reported", func(ctx context.Context) error {
			snapshot, err := east.Status(ctx)
			if err == nil && !slices.ContainsFunc(snapshot.Problems, func(p plan.Problem) bool {
				return p.Code == "prefix-local" && strings.Contains(p.Message, prefix+" via "+managementRouter+" of table 100") &&
					strings.Contains(p.Remedy, "routing.accept.west") && strings.Contains(p.Remedy, prefix+" to routing.yield")
			}) {
				err = fmt.Errorf("the problems are %v", snapshot.Problems)
			}
			return err
		})
	}
	local("10.12.200.0/24")
	awaitNoProblem(t, east, "traffic-diverted")

	run(t, east.Gateway, "ip route add 10.12.7.0/24 via "+managementRouter+" table 100")
	awaitRemedy(t, east, "traffic-diverted", "ip route del 10.12.7.0/24 table 100")
	restart(t, east)
	awaitFederation(t, east, west, north)
	awaitRemedy(t, east, "traffic-diverted", "ip route del 10.12.7.0/24 table 100")
	local("10.12.200.0/24")

	require.NoError(t, west.Agent.Terminate(within(t, timeout)))
	require.NoError(t, west.Configure(strings.Replace(west.Config(), "pods: [", "pods: [10.98.0.0/16, ", 1)))
	require.NoError(t, west.Run(within(t, timeout), binaries))
	awaitFederation(t, east, west, north)
	local("10.98.7.0/24")
	require.NoError(t, routed(t.Context(), east, "10.98.7.1", "via "+managementRouter))
	require.NoError(t, routed(t.Context(), east, "10.98.8.1", "mesh0"))
}
