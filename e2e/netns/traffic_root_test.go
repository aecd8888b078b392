//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWorkloadsReachEachOtherWithTheirOwnAddresses(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	for _, from := range topology.Datacenters {
		for _, to := range topology.Datacenters {
			if from != to {
				requireTraffic(t, from, to)
			}
		}
	}
}

func TestKillingTheAgentLosesNoPacketAndKeepsHandshakes(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	stream := datagrams(t, west, east)
	for _, dc := range topology.Datacenters {
		before := tunnelState(t, dc)
		dc.Agent.Kill()
		require.NoError(t, dc.Run(within(t, timeout), binaries))
		awaitFederation(t, topology.Datacenters...)
		assert.Equal(t, before, tunnelState(t, dc), "the restarted agent of %s adopts the existing data plane", dc.Name)
	}
	requireNoneLost(t, stream)
}

func TestStoppingTheAgentKeepsTheDataPlane(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	stream := datagrams(t, west, east)
	for _, dc := range topology.Datacenters {
		before := kernelState(t, dc.Gateway)
		require.NoError(t, dc.Agent.Terminate(within(t, timeout)), "meshd exits with status 0 after SIGTERM")
		assert.Equal(t, before, kernelState(t, dc.Gateway))
	}
	requireTraffic(t, east, west)
	requireNoneLost(t, stream)
}

// TestIdleTunnelToAGatewayWithoutAgentCarriesTraffic kills an agent whose
// tunnel is idle and sends traffic after its liveness session has failed. The
// data plane stays usable while an agent is absent, as during an upgrade.
func TestIdleTunnelToAGatewayWithoutAgentCarriesTraffic(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	east.Agent.Kill()
	silent, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	<-silent.Done()
	requireTraffic(t, west, east)
	requireTraffic(t, east, west)
}

func TestWithoutQuorumTrafficContinuesAndWritesWait(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, topology.Datacenters...))
	stream := datagrams(t, west, east)
	east.Agent.Kill()
	north.Agent.Kill()
	eventually(t, timeout, "west has no leader", func(ctx context.Context) error {
		snapshot, err := west.Status(ctx)
		if err == nil && snapshot.Catalog.Leader != "" {
			err = fmt.Errorf("the leader is %s", snapshot.Catalog.Leader)
		}
		return err
	})
	requireTraffic(t, west, east)
	requireTraffic(t, north, east)

	meshctl(t, west, "services", "--read", "stale")
	address := west.Workloads[0].Service.String()
	out := meshctl(t, west, "service", "register", "web", "--address", address, "--port", "8080")
	assert.NotContains(t, out, "registered at index", "the write waits for a leader")

	require.NoError(t, east.Run(within(t, timeout), binaries))
	eventually(t, timeout, "east has the write", func(ctx context.Context) error {
		out, err := east.Meshctl(ctx, "services")
		if err == nil && !strings.Contains(out, address) {
			err = errors.New("the service is not registered yet")
		}
		return err
	})
	requireNoneLost(t, stream)
}

func TestUnreachableDatacenterIsDetectedAndRecovers(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, topology.Cut(t.Context(), east, west))
	eventually(t, 10*time.Second, "east reports only west as unreachable", func(ctx context.Context) error {
		snapshot, err := east.Status(ctx)
		if err == nil && reaches(snapshot, "west") {
			err = errors.New("west is reported as reachable")
		}
		if err == nil && !reaches(snapshot, "north") {
			err = errors.New("north is reported as unreachable")
		}
		return err
	})
	requireTraffic(t, east, north)
	requireTraffic(t, west, north)
	requireNoTraffic(t, east, west)
	require.NoError(t, topology.Heal(t.Context()))
	awaitFederation(t, topology.Datacenters...)
	requireTraffic(t, east, west)
}

func reaches(snapshot status.Snapshot, name string) bool {
	for _, dc := range snapshot.Datacenters {
		if dc.Name == name {
			return dc.Reachable
		}
	}
	return false
}

// tunnelState returns the state that a restart of the agent must preserve: the
// data plane's processes and interfaces, and the time of each last handshake.
func tunnelState(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	snapshot, err := dc.Status(t.Context())
	require.NoError(t, err)
	var state strings.Builder
	for _, other := range snapshot.Datacenters {
		for _, gateway := range other.Gateways {
			if !other.Self {
				require.NotZero(t, gateway.LastHandshake, "%s", gateway.ID)
				fmt.Fprintf(&state, "%s %s %s\n", gateway.ID, gateway.Endpoint, gateway.LastHandshake)
			}
		}
	}
	fmt.Fprintln(&state, snapshot.Self.PublicKey, snapshot.Self.Overlay)
	for _, command := range [][]string{{"ip", "-o", "link"}, {"ps", "-e", "-o", "pid=,args="}} {
		out, err := dc.Gateway.Exec(t.Context(), command...)
		require.NoError(t, err)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "mesh0") {
				state.WriteString(line)
			}
		}
	}
	return state.String()
}
