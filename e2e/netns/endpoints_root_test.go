//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// translatedPort is the first port of a router that does not preserve ports.
const translatedPort = 40000

func TestEndpointOfAGatewayBehindNATIsTheOneThatItUses(t *testing.T) {
	for name, firstPort := range map[string]uint16{"that preserves ports": 0, "that rewrites ports": translatedPort} {
		t.Run("NAT "+name, func(t *testing.T) {
			topology := newTopology(t, "east", "west", "north")
			east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
			require.NoError(t, topology.Translate(t.Context(), east, firstPort))
			federate(t, north, west, east)
			stream := datagrams(t, west, east)
			for _, other := range []*harness.Datacenter{west, north} {
				awaitTranslatedEndpoint(t, topology, other, east, firstPort)
				run(t, other.Gateway, "ip address add 192.168.77.1/24 dev lo") // causes a pass
				awaitTranslatedEndpoint(t, topology, other, east, firstPort)
			}
			assert.Zero(t, stream.Stop().Lost())

			require.NoError(t, topology.Translate(t.Context(), east, translatedPort+200))
			for _, other := range []*harness.Datacenter{west, north} {
				eventually(t, 2*time.Second, "traffic after the NAT router restarted", func(ctx context.Context) error {
					_, err := other.Workloads[0].Host.Get(ctx, harness.At(east.Workloads[1].Pod))
					return err
				})
				run(t, other.Gateway, "ip address add 192.168.78.1/24 dev lo")
				awaitTranslatedEndpoint(t, topology, other, east, translatedPort+200)
			}
		})
	}
}

// awaitTranslatedEndpoint waits until a gateway reports another one at the address
// that NAT gives it, and one of 100 ports if firstPort is not 0.
func awaitTranslatedEndpoint(t *testing.T, topology *harness.Topology, at, of *harness.Datacenter, firstPort uint16) {
	t.Helper()
	ports := [2]uint16{firstPort, firstPort + 99}
	if firstPort == 0 {
		ports = [2]uint16{51820, 51820}
	}
	eventually(t, timeout, at.Name+" reports the translated endpoint of "+of.Name, func(ctx context.Context) error {
		endpoint, err := endpointOf(ctx, at, of)
		if err == nil && (endpoint.Addr() != topology.Translated(of) || endpoint.Port() < ports[0] || endpoint.Port() > ports[1]) {
			err = fmt.Errorf("it reports %s", endpoint)
		}
		return err
	})
}

// endpointOf returns the endpoint of the only gateway of a datacenter in the status
// of another one.
func endpointOf(ctx context.Context, at, of *harness.Datacenter) (netip.AddrPort, error) {
	snapshot, err := at.Status(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, dc := range snapshot.Datacenters {
		if string(dc.Name) == of.Name && len(dc.Gateways) == 1 {
			return netip.ParseAddrPort(dc.Gateways[0].Endpoint)
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no gateway of %s is listed", of.Name)
}

func TestGatewaysBehindNATsThatPreservePortsFindEachOther(t *testing.T) {
	topology := newTopology(t, "east", "west", "north")
	east, west, north := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	for _, dc := range []*harness.Datacenter{east, west} {
		require.NoError(t, topology.Translate(t.Context(), dc, 0))
	}
	start := time.Now()
	federate(t, north, east, west)
	t.Logf("found after %s", time.Since(start).Round(time.Millisecond))
	requireTraffic(t, east, west)
	requireTraffic(t, west, east)
}
