//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// What a network may drop besides packets that are too large.
const (
	icmpErrors = "icmp type destination-unreachable"
	fragments  = "ip frag-off & 0x3fff != 0"
)

// maxPause is how long a connection may make no progress on a path that is or
// becomes narrower than the links of the gateways.
const maxPause = 2 * time.Second

// narrowPaths are the kinds of networks whose path is narrower than the links of
// the gateways. The value is what they drop.
func narrowPaths() map[string][]string {
	return map[string][]string{
		"that reports it":                        nil,
		"that filters ICMP errors":               {icmpErrors},
		"that filters ICMP errors and fragments": {icmpErrors, fragments},
	}
}

func TestAMegabyteCrossesAPathNarrowerThanTheLinks(t *testing.T) {
	for name, dropped := range narrowPaths() {
		t.Run(name, func(t *testing.T) {
			topology := newTopology(t, "east", "west")
			require.NoError(t, topology.Narrow(1400))
			filter(t, topology, dropped)
			federate(t, topology.Datacenters...)
			east, west := topology.Datacenters[0], topology.Datacenters[1]
			exchange(t, east, west)
			exchange(t, west, east)
		})
	}
}

func TestConnectionsContinueWhenThePathBecomesNarrower(t *testing.T) {
	for name, dropped := range narrowPaths() {
		t.Run(name, func(t *testing.T) {
			topology := newFederation(t, "east", "west")
			filter(t, topology, dropped)
			east, west := topology.Datacenters[0], topology.Datacenters[1]
			flows := []*harness.Flow{flow(t, east, west), flow(t, west, east)}
			require.NoError(t, topology.Narrow(1400))
			for _, f := range flows {
				requireProgress(t, f)
			}
			exchange(t, east, west)
		})
	}
}

func TestAnUplinkThatIsLoweredIsNoticedAtOnce(t *testing.T) {
	topology := newFederation(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	_, err := east.Gateway.Exec(t.Context(), "ip", "tuntap", "add", "vpn0", "mode", "tun")
	require.NoError(t, err)
	require.NoError(t, east.Gateway.SetMTU("vpn0", 1280))
	require.NoError(t, east.Gateway.AddAddress("vpn0", netip.MustParsePrefix("10.8.0.1/24")))
	_, err = east.Gateway.Exec(t.Context(), "ip", "link", "set", "vpn0", "up")
	require.NoError(t, err)
	require.NoError(t, east.Gateway.SetMTU("router1", 1400))
	began := time.Now()
	eventually(t, 10*time.Second, "the tunnel has the MTU of the uplink, not that of another VPN", func(ctx context.Context) error {
		link, err := east.Gateway.Exec(ctx, "ip", "-o", "link", "show", "mesh0")
		if err == nil && !strings.Contains(link, "mtu 1320 ") {
			err = errors.New(link)
		}
		return err
	})
	assert.Less(t, time.Since(began), maxPause)
	exchange(t, east, west)
}

func filter(t *testing.T, topology *harness.Topology, matches []string) {
	t.Helper()
	for _, match := range matches {
		require.NoError(t, topology.Filter(t.Context(), match))
	}
}

// exchange sends a megabyte from a workload of one datacenter to another and
// back, over IPv4 and IPv6.
func exchange(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	client, server := from.Workloads[0], to.Workloads[1]
	for family, address := range map[string]netip.Addr{"IPv4": server.Pod, "IPv6": server.Pod6} {
		took, err := client.Host.Exchange(within(t, 10*time.Second), harness.At(address), 1<<20)
		require.NoError(t, err, "%s to %s over %s", from.Name, to.Name, family)
		t.Logf("1 MB from %s to %s and back over %s: %v", from.Name, to.Name, family, took)
		assert.Less(t, took, maxPause, "%s to %s over %s", from.Name, to.Name, family)
	}
}

// flow opens a connection of 1.6 MB/s in each direction.
func flow(t *testing.T, from, to *harness.Datacenter) *harness.Flow {
	t.Helper()
	f, err := from.Workloads[0].Host.Flow(t.Context(), harness.At(to.Workloads[1].Pod), 32<<10, 20*time.Millisecond)
	require.NoError(t, err)
	return f
}

// requireProgress waits until a flow has sent another 4 MB, and checks that it
// never paused for long.
func requireProgress(t *testing.T, f *harness.Flow) {
	t.Helper()
	before := f.Received()
	eventually(t, 15*time.Second, "the connection continues", func(context.Context) error {
		if n := f.Received() - before; n < 4<<20 {
			return fmt.Errorf("%d bytes in %v", n, f.LongestPause())
		}
		return nil
	})
	t.Logf("longest pause: %v", f.LongestPause())
	assert.Less(t, f.LongestPause(), maxPause)
	require.NoError(t, f.Stop())
}
