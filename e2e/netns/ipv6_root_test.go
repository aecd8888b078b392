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

// TestHostWithoutIPv6IsRefusedAnIPv6OverlayAndUsesIPv4 hides the settings of IPv6, which a
// kernel without IPv6 does not have. Nothing is promised before a refusal.
func TestHostWithoutIPv6IsRefusedAnIPv6OverlayAndUsesIPv4(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	for _, dc := range topology.Datacenters {
		runAgent(t, dc)
	}
	before := kernelState(t, east.Gateway)
	east.Agent.Kill()
	run(t, east.Gateway, "mount -t tmpfs none /proc/sys/net/ipv6")
	runAgent(t, east)
	meshctl(t, north, "init")
	for _, args := range [][]string{{"init"}, {"join", token(t, north)}} {
		out, err := east.Meshctl(within(t, timeout), args...)
		assert.Equal(t, exitRefused, harness.ExitCode(err), out)
		assert.Contains(t, out, "ipv6.disable=1")
		assert.Contains(t, out, "--overlay")
	}
	run(t, east.Gateway, "umount /proc/sys/net/ipv6")
	assert.Equal(t, before, kernelState(t, east.Gateway))
	run(t, east.Gateway, "mount -t tmpfs none /proc/sys/net/ipv6")
	awaitMembers(t, north, "north")

	meshctl(t, east, "init", "--overlay", "100.77.0.0/24")
	meshctl(t, west, "join", token(t, east))
	awaitFederation(t, east, west)
	requireIPv4(t, east, west)
	problem := awaitProblem(t, east, "ipv6-missing")
	assert.Contains(t, problem.Message, "IPv4 works")
	requireApplied(t, east)
}

// TestIPv6SwitchedOffLeavesIPv4 is about net.ipv6.conf.all.disable_ipv6, which removes IPv6
// from every device, set before a gateway starts and while one runs.
func TestIPv6SwitchedOffLeavesIPv4(t *testing.T) {
	for overlay, args := range map[string][]string{"IPv6": {"init"}, "IPv4": {"init", "--overlay", "100.77.0.0/24"}} {
		t.Run(overlay+" overlay", func(t *testing.T) {
			topology := newTopology(t, "east", "west")
			east, west := topology.Datacenters[0], topology.Datacenters[1]
			switchOffIPv6(t, east)
			runAgent(t, east)
			runAgent(t, west)
			meshctl(t, east, args...)
			meshctl(t, west, "join", token(t, east))
			awaitFederation(t, east, west)
			requireIPv4(t, east, west)
			problem := awaitProblem(t, east, "ipv6-missing")
			assert.Contains(t, problem.Message, "IPv4 works")
			requireApplied(t, east)

			switchOffIPv6(t, west) // while it runs
			requireIPv4(t, east, west)
			awaitProblem(t, west, "ipv6-missing")
			requireApplied(t, west)
			awaitFederation(t, east, west)
			requireIPv4(t, east, west)

			for _, devices := range []string{"default", "all"} {
				require.NoError(t, west.Gateway.Sysctl("net/ipv6/conf/"+devices+"/disable_ipv6", "0"))
			}
			awaitResolved(t, west, "ipv6-missing")
			requireApplied(t, west)
		})
	}
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

func TestLinkWithoutAnAdvertisedRouteYetAcceptsAdvertisements(t *testing.T) {
	topology := newTopology(t, "east")
	east := topology.Datacenters[0]
	setting := func(key, want string) {
		t.Helper()
		eventually(t, timeout, key+" is "+want, func(ctx context.Context) error {
			value, err := east.Gateway.Exec(ctx, "cat", "/proc/sys/net/ipv6/conf/"+key)
			if err == nil && strings.TrimSpace(value) != want {
				err = fmt.Errorf("it is %s", value)
			}
			return err
		})
	}
	require.NoError(t, east.Gateway.Sysctl("net/ipv6/conf/all/forwarding", "0"))
	require.NoError(t, east.Gateway.Sysctl("net/ipv6/conf/router1/accept_ra", "1"))
	federate(t, east)
	setting("all/forwarding", "1")
	setting("router1/accept_ra", "2")

	run(t, east.Gateway, "ip link add plugged type veth peer name router2") // while it runs
	run(t, east.Gateway, "ip addr add 198.51.100.1/24 dev plugged")
	run(t, east.Gateway, "ip link set plugged up")
	setting("plugged/accept_ra", "2")
	meshctl(t, east, "leave", "--yes")
	setting("router1/accept_ra", "1")
	setting("plugged/accept_ra", "1")
}

// TestIPv6SwitchedOffForNewInterfacesLeavesTheTunnels is about
// net.ipv6.conf.default.disable_ipv6 alone: the lanes and the uplinks have IPv6.
func TestIPv6SwitchedOffForNewInterfacesLeavesTheTunnels(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	federate(t, east, west)
	requireTraffic(t, east, west)
	require.NoError(t, east.Gateway.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"))
	run(t, east.Gateway, "ip link add another type veth peer name more") // a pass follows
	run(t, east.Gateway, "ip link set another up")
	requireApplied(t, east)
	requireTraffic(t, east, west)
	run(t, east.Gateway, "ip link del mesh0")
	awaitFederation(t, east, west)
	requireTraffic(t, east, west)
	requireNoProblem(t, east, "ipv6-missing")
}

func requireNoProblem(t *testing.T, dc *harness.Datacenter, code string) {
	t.Helper()
	snapshot, err := dc.Status(within(t, timeout))
	require.NoError(t, err)
	for _, p := range snapshot.Problems {
		assert.NotEqual(t, code, p.Code, p.Message)
	}
}

// TestUplinkWithTheNameOfATunnelIsNamed has an uplink like those of 802.11s.
func TestUplinkWithTheNameOfATunnelIsNamed(t *testing.T) {
	topology := newTopology(t, "east")
	east := topology.Datacenters[0]
	run(t, east.Gateway, "ip link set router1 down")
	run(t, east.Gateway, "ip link set router1 name mesh1")
	run(t, east.Gateway, "ip link set mesh1 up")
	runAgent(t, east)
	out, err := east.Meshctl(within(t, timeout), "init")
	assert.Equal(t, exitRefused, harness.ExitCode(err), out)
	assert.Contains(t, out, "interface mesh1 of this host was not created by Meshway")
	assert.Contains(t, out, "wireguard.interface")
}
