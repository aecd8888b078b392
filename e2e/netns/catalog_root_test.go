//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

func register(t *testing.T, dc *harness.Datacenter, name string) string {
	t.Helper()
	return meshctl(t, dc, "service", "register", name, "--address", dc.Workloads[0].Service.String(), "--port", "8080")
}

func TestRestoringASnapshotReplacesTheCatalog(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	register(t, west, "before")
	file := filepath.Join(t.TempDir(), "catalog.snapshot")
	meshctl(t, east, "snapshot", "save", file)
	assert.Contains(t, meshctl(t, east, "snapshot", "inspect", file), "2 datacenters")
	token := meshctl(t, east, "token", "create")

	meshctl(t, east, "snapshot", "restore", "--yes", file)
	tokens := meshctl(t, east, "token", "list", "-o", "json")
	assert.NotContains(t, tokens, token, "a token that is newer than the snapshot is removed")
	eventually(t, timeout, "both datacenters have the service of the snapshot", func(ctx context.Context) error {
		for _, dc := range topology.Datacenters {
			if _, err := dc.Meshctl(ctx, "services", "before"); err != nil {
				return err
			}
		}
		return nil
	})
	requireTraffic(t, west, east)
}

func TestLeadershipIsTransferredOnRequest(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	west := topology.Datacenters[1]
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, topology.Datacenters...))
	meshctl(t, topology.Datacenters[0], "raft", "transfer-leader", "west/west")
	eventually(t, timeout, "west is the leader", func(ctx context.Context) error {
		snapshot, err := west.Status(ctx)
		if err == nil && snapshot.Catalog.Role != "leader" {
			err = fmt.Errorf("its role is %s", snapshot.Catalog.Role)
		}
		return err
	})
	assert.Contains(t, register(t, west, "web"), "registered at index")
}

// TestLastRemainingGatewayRecoversTheCatalog loses the quorum permanently.
func TestLastRemainingGatewayRecoversTheCatalog(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, topology.Datacenters...))
	register(t, west, "before")
	east.Agent.Kill()
	north.Agent.Kill()

	_, err := west.Meshctl(within(t, timeout), "raft", "recover", "--yes", "--meshd", binaries.Meshd, "--peer", "west/west")
	require.Error(t, err, "recovery is refused while the agent runs")
	require.NoError(t, west.Agent.Terminate(within(t, timeout)))
	meshctl(t, west, "raft", "recover", "--yes", "--meshd", binaries.Meshd, "--peer", "west/west")
	require.NoError(t, west.Run(within(t, timeout), binaries))
	eventually(t, timeout, "west is the leader and only voter", func(ctx context.Context) error {
		snapshot, err := west.Status(ctx)
		if err == nil && (snapshot.Catalog.Role != "leader" || snapshot.Catalog.Voters != 1) {
			err = fmt.Errorf("its role is %s, with %d voters", snapshot.Catalog.Role, snapshot.Catalog.Voters)
		}
		return err
	})
	assert.Contains(t, register(t, west, "after"), "registered at index")
	assert.Contains(t, meshctl(t, west, "services"), "before")
}
