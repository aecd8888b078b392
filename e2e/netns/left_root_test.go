//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAHostThatLeftSendsNothingUnencryptedUntilItIsReleased counts packets on the
// underlay after a leave, a restart, a boot and a removal by others.
func TestAHostThatLeftSendsNothingUnencryptedUntilItIsReleased(t *testing.T) {
	east, west, router := newGuarded(t)
	pod := west.Workloads[1].Pod.String()
	sent := func() int {
		t.Helper()
		before := unencrypted(t, router, west)
		sendToPods(t, east, west)
		return unencrypted(t, router, west) - before
	}
	standalone := func() {
		t.Helper()
		eventually(t, timeout, "the agent guards what was left", func(ctx context.Context) error {
			snapshot, err := east.Status(ctx)
			if err == nil && (snapshot.State != status.Standalone || len(snapshot.Problems) == 0) {
				err = fmt.Errorf("it is %s with %v", snapshot.State, snapshot.Problems)
			}
			return err
		})
		awaitRemedy(t, east, "left-guarded", "meshctl leave --release")
	}
	assert.Contains(t, meshctl(t, east, "leave", "--yes"), "packets to the other datacenters are still dropped ("+west.Pods.String()+" of west")
	assert.Zero(t, sent(), "after the leave")
	standalone()
	assert.Zero(t, sent(), "once the agent has planned")
	assert.Contains(t, meshctl(t, east, "routes", pod), "packets to it are dropped and not sent unencrypted, until meshctl leave --release")
	out, err := east.Gateway.Exec(t.Context(), "ip", "rule", "show")
	require.NoError(t, err)
	assert.NotContains(t, out, "7117", "nothing but the firewall stays")

	east.Agent.Kill()
	run(t, east.Gateway, "nft delete table inet meshway", binaries.Meshd+" guard --config "+harness.ConfigFile)
	assert.Zero(t, sent(), "after a boot, before the agent")
	runAgent(t, east)
	standalone()
	assert.Zero(t, sent(), "after a boot")

	run(t, east.Gateway, "ip route add "+pod+"/32 via 203.0.113.1")
	eventually(t, timeout, "a route of the host wins", func(context.Context) error {
		if sent() == 0 {
			return errors.New("no packet passes the router")
		}
		return nil
	})
	run(t, east.Gateway, "ip route del "+pod+"/32")
	eventually(t, timeout, "the prefix is guarded without it", func(context.Context) error {
		if n := sent(); n != 0 {
			return fmt.Errorf("%d packets pass the router", n)
		}
		return nil
	})

	meshctl(t, east, "join", token(t, west))
	awaitFederation(t, west, east)
	requireTraffic(t, east, west)
	east.Agent.Kill()
	meshctl(t, west, "datacenter", "remove", "east", "--yes", "--force")
	runAgent(t, east)
	assert.Zero(t, sent(), "after others have removed the datacenter")
	meshctl(t, east, "leave", "--yes", "--force")
	standalone()
	assert.Zero(t, sent(), "after the leave of a datacenter that was removed")

	assert.Contains(t, meshctl(t, east, "leave", "--yes", "--release"), "take the routes that the host has without Meshway")
	assert.NotZero(t, sent(), "after the release")
	meshctl(t, east, "leave", "--yes", "--release")
	awaitResolved(t, east, "left-guarded")
	_, err = east.Gateway.Exec(t.Context(), "nft", "list", "table", "inet", "meshway")
	require.Error(t, err, "the firewall is removed")
}
