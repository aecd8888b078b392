//go:build linux && root

package netns_test

import (
	"context"
	"errors"
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

func TestASnapshotBringsBackWhatWasThere(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	register(t, west, "before")
	file := filepath.Join(t.TempDir(), "catalog.snapshot")
	meshctl(t, east, "snapshot", "save", file)
	assert.Contains(t, meshctl(t, east, "snapshot", "inspect", file), "2 datacenters")
	token := meshctl(t, east, "token", "create")

	meshctl(t, east, "snapshot", "restore", "--yes", file)
	tokens := meshctl(t, east, "token", "list", "-o", "json")
	assert.NotContains(t, tokens, token, "what came after the snapshot is gone")
	eventually(t, patience, "both datacenters have what was there before", func(ctx context.Context) error {
		for _, dc := range topology.Datacenters {
			if _, err := dc.Meshctl(ctx, "services", "before"); err != nil {
				return err
			}
		}
		return nil
	})
	requireTraffic(t, west, east)
}

func TestLeadershipIsHandedOverOnDemand(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	west := topology.Datacenters[1]
	require.NoError(t, harness.AwaitVoters(within(t, patience), 3, topology.Datacenters...))
	meshctl(t, topology.Datacenters[0], "raft", "transfer-leader", "west/west")
	eventually(t, patience, "west leads", func(ctx context.Context) error {
		snapshot, err := west.Status(ctx)
		if err == nil && snapshot.Catalog.Role != "leader" {
			err = fmt.Errorf("it is %s", snapshot.Catalog.Role)
		}
		return err
	})
	assert.Contains(t, register(t, west, "web"), "registered at index")
}

// TestTheLastOneLeftRecoversTheCatalog loses a quorum for good.
func TestTheLastOneLeftRecoversTheCatalog(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	require.NoError(t, harness.AwaitVoters(within(t, patience), 3, topology.Datacenters...))
	register(t, west, "before")
	east.Agent.Kill()
	north.Agent.Kill()

	_, err := west.Meshctl(within(t, patience), "raft", "recover", "--yes", "--meshd", binaries.Meshd, "--peer", "west/west")
	require.Error(t, err, "not under an agent that runs")
	require.NoError(t, west.Agent.Terminate(within(t, patience)))
	meshctl(t, west, "raft", "recover", "--yes", "--meshd", binaries.Meshd, "--peer", "west/west")
	require.NoError(t, west.Run(within(t, patience), binaries))
	eventually(t, patience, "west leads alone", func(ctx context.Context) error {
		snapshot, err := west.Status(ctx)
		if err == nil && (snapshot.Catalog.Role != "leader" || snapshot.Catalog.Voters != 1) {
			err = errors.New("not yet")
		}
		return err
	})
	assert.Contains(t, register(t, west, "after"), "registered at index")
	assert.Contains(t, meshctl(t, west, "services"), "before")
}
