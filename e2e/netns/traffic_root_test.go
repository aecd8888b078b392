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

func TestWorkloadsReachEachOtherUnderTheirOwnAddresses(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	for _, from := range topology.Datacenters {
		for _, to := range topology.Datacenters {
			if from != to {
				requireTraffic(t, from, to)
			}
		}
	}
}

func TestKilledAgentLosesNoPacketAndKeepsHandshakes(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	stream := datagrams(t, west, east)
	for _, dc := range topology.Datacenters {
		before := tunnelState(t, dc)
		dc.Agent.Kill()
		require.NoError(t, dc.Run(within(t, patience), binaries))
		await(t, topology.Datacenters...)
		assert.Equal(t, before, tunnelState(t, dc), "the restarted agent of %s adopts what is there", dc.Name)
	}
	requireNoneLost(t, stream)
}

func TestStoppedAgentLeavesTheDataPlane(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	stream := datagrams(t, west, east)
	for _, dc := range topology.Datacenters {
		before := kernelState(t, dc.Gateway)
		require.NoError(t, dc.Agent.Terminate(within(t, patience)), "SIGTERM ends meshd with status 0")
		assert.Equal(t, before, kernelState(t, dc.Gateway))
	}
	requireTraffic(t, east, west)
	requireNoneLost(t, stream)
}

// TestIdleTunnelToADeadAgentTakesTraffic kills an agent whose tunnel carries
// nothing, waits until its liveness session must have failed, and then sends:
// an agent that is gone, or upgraded, is no reason not to use its data plane.
func TestIdleTunnelToADeadAgentTakesTraffic(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	east.Agent.Kill()
	silent, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	<-silent.Done()
	requireTraffic(t, west, east)
	requireTraffic(t, east, west)
}

func TestTrafficGoesOnWithoutQuorumAndWritesWait(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, harness.AwaitVoters(within(t, patience), 3, topology.Datacenters...))
	stream := datagrams(t, west, east)
	east.Agent.Kill()
	north.Agent.Kill()
	eventually(t, patience, "west has no leader", func(ctx context.Context) error {
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
	assert.NotContains(t, out, "registered at index", "nobody can take the write")

	require.NoError(t, east.Run(within(t, patience), binaries))
	eventually(t, patience, "east has the write", func(ctx context.Context) error {
		out, err := east.Meshctl(ctx, "services")
		if err == nil && !strings.Contains(out, address) {
			err = errors.New("not yet")
		}
		return err
	})
	requireNoneLost(t, stream)
}

func TestUnreachableDatacenterIsSeenAndComesBack(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, topology.Cut(t.Context(), east, west))
	eventually(t, 10*time.Second, "east knows that it does not reach west", func(ctx context.Context) error {
		snapshot, err := east.Status(ctx)
		if err == nil && reaches(snapshot, "west") {
			err = errors.New("it thinks that it does")
		}
		if err == nil && !reaches(snapshot, "north") {
			err = errors.New("it thinks that it does not reach north")
		}
		return err
	})
	requireTraffic(t, east, north)
	requireTraffic(t, west, north)
	requireNoTraffic(t, east, west)
	require.NoError(t, topology.Heal(t.Context()))
	await(t, topology.Datacenters...)
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

// tunnelState is what a restart of the agent must not change: the processes
// of the data plane, the interfaces, and when each peer shook hands.
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
