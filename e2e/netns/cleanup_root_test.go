//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLeaveRestoresTheKernelStateAndAllowsAnotherJoin(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	addForeignState(t, west.Gateway)
	before := kernelState(t, west.Gateway)
	runAgent(t, east)
	runAgent(t, west)
	meshctl(t, east, "init")

	for range 2 {
		secret, start := token(t, east), time.Now()
		meshctl(t, west, "join", secret)
		joined := time.Since(start)
		awaitFederation(t, east, west)
		t.Logf("meshctl join took %s, both report the other after %s", joined.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		requireTraffic(t, west, east)
		require.NotEqual(t, before, kernelState(t, west.Gateway))

		meshctl(t, west, "leave", "--yes")
		awaitRemedy(t, west, "left-guarded", "meshctl leave --release")
		requireNoTraffic(t, west, east)
		awaitMembers(t, east, "east")
	}
	meshctl(t, west, "leave", "--yes", "--release")
	assert.Equal(t, before, kernelState(t, west.Gateway))

	for range 2 {
		meshctl(t, west, "join", token(t, east))
		awaitFederation(t, east, west)
		meshctl(t, west, "leave", "--yes", "--release")
		assert.Equal(t, before, kernelState(t, west.Gateway), "released at once")
		requireNoTraffic(t, west, east)
		awaitMembers(t, east, "east")
	}
}

func TestUninstallRestoresTheKernelState(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	addForeignState(t, west.Gateway)
	before := kernelState(t, west.Gateway)
	federate(t, east, west)
	joined := kernelState(t, west.Gateway)
	uninstall := func(flags ...string) (string, error) {
		argv := append([]string{binaries.Meshd, "uninstall", "--config", harness.ConfigFile}, flags...)
		return west.Gateway.Exec(within(t, timeout), argv...)
	}

	_, err := uninstall("--force")
	require.Error(t, err, "the agent runs")
	west.Agent.Kill()
	_, err = uninstall()
	require.ErrorContains(t, err, "meshctl leave", "the datacenter is still a member")
	assert.Equal(t, joined, kernelState(t, west.Gateway), "a refused uninstall changes nothing")
	requireTraffic(t, west, east)

	// Uninstall removes interfaces of both data planes, not only of the configured one.
	require.NoError(t, west.Configure(west.Config("wireguard: {dataplane: kernel}")))
	_, err = uninstall("--force")
	require.NoError(t, err)
	assert.Equal(t, before, kernelState(t, west.Gateway))
	_, err = uninstall("--purge")
	require.NoError(t, err, "only the keys are left to remove")
	_, err = west.Gateway.Exec(t.Context(), "test", "!", "-e", "/var/lib/meshway")
	require.NoError(t, err)
}

// TestDriftIsRepairedWithinASecond deletes Meshway's kernel objects, one kind
// after the other, while the agent runs.
func TestDriftIsRepairedWithinASecond(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	addForeignState(t, west.Gateway)
	federate(t, east, west)
	want := kernelState(t, west.Gateway)
	for _, drift := range []string{
		"ip -4 route flush table 7117 proto 157",
		"ip -6 route flush table 7117 proto 157",
		"ip -4 rule del lookup 7117",
		"ip -6 rule del lookup 7117",
		"ip nexthop flush proto 157",
		"nft delete table inet meshway",
		"nft flush table inet meshway",
		"ip link set mesh0 down",
		"ip address flush dev mesh0 scope global",
		"sysctl -w net.ipv4.ip_forward=0",
	} {
		t.Run(drift, func(t *testing.T) {
			run(t, west.Gateway, drift)
			eventually(t, time.Second, "the kernel state is restored", func(context.Context) error {
				if kernelState(t, west.Gateway) != want {
					return errors.New("the kernel state differs")
				}
				return nil
			})
		})
		assert.Equal(t, want, kernelState(t, west.Gateway), "after %s", drift)
	}
	requireTraffic(t, west, east)
}
