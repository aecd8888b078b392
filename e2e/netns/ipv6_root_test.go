//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func switchOffIPv6(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	for _, devices := range []string{"default", "all"} {
		require.NoError(t, dc.Gateway.Sysctl("net/ipv6/conf/"+devices+"/disable_ipv6", "1"))
	}
}

// TestHostWithoutIPv6 refuses an IPv6 overlay at init and join before anything is
// promised, and uses IPv4 with an IPv4 overlay.
func TestHostWithoutIPv6IsRefusedAnIPv6OverlayAndUsesIPv4(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	switchOffIPv6(t, east)
	for _, dc := range topology.Datacenters {
		runAgent(t, dc)
	}
	before := kernelState(t, east.Gateway)
	meshctl(t, north, "init")
	for _, args := range [][]string{{"init"}, {"join", token(t, north)}} {
		out, err := east.Meshctl(within(t, timeout), args...)
		assert.Equal(t, exitRefused, harness.ExitCode(err), out)
		assert.Contains(t, out, "disable_ipv6=0")
		assert.Contains(t, out, "--overlay")
	}
	assert.Equal(t, before, kernelState(t, east.Gateway))
	awaitMembers(t, north, "north")

	meshctl(t, east, "init", "--overlay", "100.77.0.0/24")
	meshctl(t, west, "join", token(t, east))
	awaitFederation(t, east, west)
	requireIPv4(t, east, west)
	problem := awaitProblem(t, east, "ipv6-missing")
	assert.Contains(t, problem.Message, "IPv4 works")
	requireApplied(t, east)

	switchOffIPv6(t, west) // while it runs
	awaitProblem(t, west, "ipv6-missing")
	requireApplied(t, west)
	requireIPv4(t, east, west)
}

func requireIPv4(t *testing.T, a, b *harness.Datacenter) {
	t.Helper()
	ping(t, a.Workloads[0].Host, b.Workloads[0].Pod.String())
	ping(t, b.Workloads[0].Host, a.Workloads[0].Pod.String())
}

// requireApplied requires that a pass applies everything.
func requireApplied(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	eventually(t, timeout, dc.Name+" has no errors", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && len(snapshot.Dataplane.Errors) > 0 {
			err = fmt.Errorf("the errors are %v", snapshot.Dataplane.Errors)
		}
		return err
	})
}

func TestAcceptRAIsRestoredAfterLeaving(t *testing.T) {
	topology := newTopology(t, "east")
	east := topology.Datacenters[0]
	setting := func() string {
		value, err := east.Gateway.Exec(t.Context(), "cat", "/proc/sys/net/ipv6/conf/router1/accept_ra")
		require.NoError(t, err)
		return strings.TrimSpace(value)
	}
	require.NoError(t, east.Gateway.Sysctl("net/ipv6/conf/router1/accept_ra", "1"))
	run(t, east.Gateway, "ip -6 route add default via fe80::1 dev router1 proto ra")
	federate(t, east)
	assert.Equal(t, "2", setting())
	meshctl(t, east, "leave", "--yes")
	eventually(t, timeout, "the setting is restored", func(context.Context) error {
		if value := setting(); value != "1" {
			return fmt.Errorf("it is %s", value)
		}
		return nil
	})
}
