//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
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
	requireLeader(t, west)
	assert.Contains(t, register(t, west, "web"), "registered at index")
}

// A leader that continues after a pause is the leader for itself until its timers
// have run. Calls on open connections are answered first.
func TestPausedLeaderAnswersNoReadFromItsPast(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, topology.Datacenters...))
	requireLeader(t, east)
	const readers = 64
	clients := openClients(t, east, readers)

	require.NoError(t, east.Agent.Pause())
	t.Cleanup(func() { _ = east.Agent.Resume() })
	eventually(t, timeout, "another gateway leads and accepts a write", func(ctx context.Context) error {
		_, err := west.Meshctl(ctx, "service", "register", "after", "--address", west.Workloads[0].Service.String(), "--port", "8080")
		return err
	})
	var sent, done sync.WaitGroup
	var past atomic.Int32
	sent.Add(readers)
	for _, client := range clients {
		done.Go(func() {
			ctx := httptrace.WithClientTrace(within(t, timeout), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { sent.Done() },
			})
			response, err := client.ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{}))
			if err == nil && len(response.Msg.GetServices()) == 0 {
				past.Add(1)
			}
		})
	}
	sent.Wait()
	require.NoError(t, east.Agent.Resume())
	done.Wait()
	assert.Zero(t, past.Load(), "of %d reads were answered without the service that was registered before", readers)
	assert.Contains(t, meshctl(t, east, "services"), "after")
}

// openClients returns clients of an agent, each with an open connection.
func openClients(t *testing.T, dc *harness.Datacenter, n int) []controlpbconnect.OperatorClient {
	t.Helper()
	socket := fmt.Sprintf("/proc/%d/root/run/meshway/meshd.sock", dc.Agent.PID())
	var clients []controlpbconnect.OperatorClient
	for range n {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		}}
		t.Cleanup(transport.CloseIdleConnections)
		client := controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd")
		_, err := client.ListServices(within(t, timeout), connect.NewRequest(&controlpb.ListServicesRequest{}))
		require.NoError(t, err)
		clients = append(clients, client)
	}
	return clients
}

// requireLeader makes the gateway of a datacenter the leader.
func requireLeader(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	meshctl(t, dc, "raft", "transfer-leader", dc.Name+"/"+dc.Name)
	requireLeads(t, dc)
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
