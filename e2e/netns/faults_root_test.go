//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// TestFaultsOfAHostAreReportedWithTheirRemedy changes the host of a gateway.
func TestFaultsOfAHostAreReportedWithTheirRemedy(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	federate(t, east, west)

	t.Run("read-only /proc/sys", func(t *testing.T) {
		require.NoError(t, east.Agent.Pause())
		run(t, east.Gateway, "sysctl -w net.ipv4.ip_forward=0", "mount --bind /proc/sys /proc/sys", "mount -o remount,bind,ro /proc/sys")
		require.NoError(t, east.Agent.Resume())
		var failed []string
		eventually(t, timeout, "the status has an error", func(ctx context.Context) error {
			snapshot, err := east.Status(ctx)
			failed = snapshot.Dataplane.Errors
			if err == nil && len(failed) == 0 {
				err = errors.New("there is none")
			}
			return err
		})
		require.Len(t, failed, 1)
		assert.Equal(t, 1, strings.Count(failed[0], "set sysctl"), failed[0])
		assert.Contains(t, failed[0], "/proc/sys is read-only")
		assert.Contains(t, failed[0], "net.ipv4.ip_forward=1")
		run(t, east.Gateway, "umount /proc/sys")
		awaitFederation(t, east, west)
	})
	t.Run("foreign route in the table", func(t *testing.T) {
		run(t, east.Gateway, "ip route replace blackhole 10.12.0.0/16 table 7117 proto static")
		eventually(t, timeout, "the status names it", func(ctx context.Context) error {
			snapshot, err := east.Status(ctx)
			if text := strings.Join(snapshot.Dataplane.Errors, "\n"); err == nil && !strings.Contains(text, "ip route del 10.12.0.0/16 table 7117 proto 4") {
				err = errors.New(text)
			}
			return err
		})
		run(t, east.Gateway, "ip route del 10.12.0.0/16 table 7117 proto 4")
		requireTraffic(t, east, west)
	})
	t.Run("tunnel interface without IPv6", func(t *testing.T) {
		run(t, east.Gateway, "sysctl -w net.ipv6.conf.mesh0.disable_ipv6=1")
		eventually(t, timeout, "it has its address again", func(ctx context.Context) error {
			_, err := east.Gateway.Exec(ctx, "sh", "-c", "ip -6 address show dev mesh0 | grep -q inet6")
			return err
		})
		awaitFederation(t, east, west)
		requireTraffic(t, east, west)
	})
	t.Run("replaced tunnel interface", func(t *testing.T) {
		run(t, east.Gateway, "ip link del mesh0")
		awaitFederation(t, east, west)
		requireTraffic(t, east, west)
		unknown := func() error { return pathMTUUnknown(t.Context(), east) }
		eventually(t, timeout, "the path MTU is measured", func(context.Context) error { return unknown() })
		require.Never(t, func() bool { return unknown() != nil }, 5*time.Second, 200*time.Millisecond, "without answers it is forgotten")
	})
	t.Run("emptied /run/wireguard without an agent", func(t *testing.T) {
		east.Agent.Kill()
		run(t, east.Gateway, "rm -rf /run/wireguard")
		requireTraffic(t, east, west)
		require.NoError(t, east.Run(within(t, timeout), binaries))
		awaitFederation(t, east, west)
		requireTraffic(t, east, west)
	})
	t.Run("emptied /run/meshway", func(t *testing.T) {
		run(t, east.Gateway, "rm -rf /run/meshway")
		eventually(t, timeout, "meshctl reaches the agent again", func(ctx context.Context) error {
			_, err := east.Meshctl(ctx, "version")
			return err
		})
		require.NoError(t, east.Agent.Terminate(within(t, timeout)))
		_, err := east.Gateway.Exec(t.Context(), "test", "!", "-e", "/run/meshway/meshd.sock")
		assert.NoError(t, err, "the socket is removed at the end")
	})
}

func TestInterfacesWithAnotherNamePrefixAreTakenOver(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	restart(t, east, "wireguard: {interface: far}")
	eventually(t, timeout, "only the new interface exists", func(ctx context.Context) error {
		out, err := east.Gateway.Exec(ctx, "ip", "-brief", "link")
		if err == nil && (strings.Contains(out, "mesh0") || !strings.Contains(out, "far0")) {
			err = errors.New(out)
		}
		return err
	})
	awaitFederation(t, east, west)
	requireTraffic(t, east, west)
	requireTraffic(t, west, east)
	requireApplied(t, east)
}

// pathMTUUnknown returns an error if a gateway measures no path MTU.
func pathMTUUnknown(ctx context.Context, dc *harness.Datacenter) error {
	snapshot, err := dc.Status(ctx)
	if err != nil {
		return err
	}
	for _, member := range snapshot.Datacenters {
		for _, gateway := range member.Gateways {
			if gateway.PathMTU > 0 {
				return nil
			}
		}
	}
	return errors.New("no gateway has a path MTU")
}
