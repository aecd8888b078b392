//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// TestGatewaysWithACommonFamilyFindEachOtherWithinSeconds joins datacenters with both
// families, IPv6 only and IPv4 only through the one with both. The founder leads the
// catalog: one without the family of the last joiner must hand over.
func TestGatewaysWithACommonFamilyFindEachOtherWithinSeconds(t *testing.T) {
	for _, order := range [][]string{{"dual", "six", "four"}, {"four", "dual", "six"}, {"six", "dual", "four"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			topology := newTopology(t, order...)
			dual, six, four := topology.Datacenter("dual"), topology.Datacenter("six"), topology.Datacenter("four")
			require.NoError(t, topology.RouteIPv6())
			require.NoError(t, topology.AddIPv6(dual))
			require.NoError(t, topology.AddIPv6(six))
			require.NoError(t, topology.RemoveIPv4(six))
			founder := topology.Datacenters[0]
			runAgent(t, founder)
			meshctl(t, founder, "init")
			var joined string // what the last join reports
			for _, joiner := range topology.Datacenters[1:] {
				runAgent(t, joiner)
				inviter := dual
				if joiner == dual {
					inviter = founder
				} else if founder != dual {
					requireNoFamily(t, founder, joiner)
				}
				secret := token(t, inviter)
				start := time.Now()
				joined = meshctl(t, joiner, "join", secret)
				awaitReachable(t, joiner, inviter)
				awaitReachable(t, inviter, joiner)
				t.Logf("%s found after %s", joiner.Name, time.Since(start).Round(time.Millisecond))
				requireTraffic(t, inviter, joiner)
				requireTraffic(t, joiner, inviter)
			}
			assert.Contains(t, joined, "no tunnel is possible between gateway", "the join names the one that it does not reach")
			awaitProblems(t, six, "no-common-family")
			awaitProblems(t, four, "no-common-family")
			awaitProblems(t, dual)
			requireLeads(t, dual)
			assert.Contains(t, register(t, six, "web"), "registered at index")
			assert.Contains(t, register(t, four, "web"), "registered at index")
		})
	}
}

// requireNoFamily requires that a datacenter cannot join through one without a common
// family.
func requireNoFamily(t *testing.T, inviter, joiner *harness.Datacenter) {
	t.Helper()
	_, err := joiner.Meshctl(within(t, timeout), "join", token(t, inviter))
	assert.Equal(t, exitRefused, harness.ExitCode(err))
	require.ErrorContains(t, err, "address that reaches them")
}

// requireLeads waits until a gateway leads the catalog.
func requireLeads(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	eventually(t, timeout, dc.Name+" leads", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && snapshot.Catalog.Role != "leader" {
			err = fmt.Errorf("its role is %s", snapshot.Catalog.Role)
		}
		return err
	})
}

// awaitReachable waits until a datacenter reaches another one.
func awaitReachable(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	eventually(t, 10*time.Second, from.Name+" reaches "+to.Name, func(ctx context.Context) error {
		snapshot, err := from.Status(ctx)
		if err == nil && !reaches(snapshot, to.Name) {
			err = errors.New("it is not reachable")
		}
		return err
	})
}

// awaitProblems waits until a datacenter reports exactly the problems with these
// codes.
func awaitProblems(t *testing.T, dc *harness.Datacenter, codes ...string) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%s reports %v", dc.Name, codes), func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		var have []string
		for _, p := range snapshot.Problems {
			have = append(have, p.Code)
		}
		if err == nil && !slices.Equal(have, codes) {
			err = fmt.Errorf("it reports %v", have)
		}
		return err
	})
}

// addBridges adds bridges as Docker creates them, with the same addresses on every
// host.
func addBridges(t *testing.T, dc *harness.Datacenter, names ...string) {
	t.Helper()
	for i, name := range names {
		run(t, dc.Gateway,
			"ip link add "+name+" type bridge",
			fmt.Sprintf("ip address add 172.%d.0.1/16 dev %s", 17+i, name),
			"ip link add v"+name+" type veth peer name p"+name,
			"ip link set v"+name+" master "+name+" up",
			"ip link set "+name+" up")
	}
}

func TestContainersOfAGatewayDelayNoJoin(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	for _, dc := range topology.Datacenters {
		addBridges(t, dc, "docker0", "br-1", "br-2", "br-3", "br-4", "br-5")
		runAgent(t, dc)
	}
	meshctl(t, east, "init")
	secret := token(t, east)
	start := time.Now()
	meshctl(t, west, "join", secret)
	awaitFederation(t, east, west)
	took := time.Since(start)
	t.Logf("joined after %s", took.Round(time.Millisecond))
	assert.Less(t, took, 10*time.Second)
	assert.NotContains(t, meshctl(t, east, "members", "-o", "json"), "172.")
}

func TestContainersThatComeAndGoWriteNothing(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east := topology.Datacenters[0]
	federate(t, topology.Datacenters...)
	before := appliedIndex(t, east)
	for i := range 30 {
		name := fmt.Sprintf("br-%d", i)
		addBridges(t, east, name)
		run(t, east.Gateway, "ip link delete "+name, "ip link delete v"+name)
	}
	assert.Equal(t, before, appliedIndex(t, east))
}

// appliedIndex returns the index of the last write to the catalog, once no other has
// followed for two seconds.
func appliedIndex(t *testing.T, dc *harness.Datacenter) uint64 {
	t.Helper()
	var last uint64
	var since time.Time
	eventually(t, timeout, "the catalog of "+dc.Name+" changes no more", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err != nil {
			return err
		}
		if index := snapshot.Catalog.AppliedIndex; index != last {
			last, since = index, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return fmt.Errorf("the index is %d since %s", last, time.Since(since))
		}
		return nil
	})
	return last
}

func TestHostWithManyNetworksJoins(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	for i := range 18 {
		run(t, east.Gateway, fmt.Sprintf("ip address add 172.16.%d.1/24 dev router1", i))
	}
	federate(t, east, west)
	requireTraffic(t, east, west)
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

// TestLostFirstHandshakeIsRepeatedWithinASecond joins a gateway behind NAT, so that only
// its own handshakes arrive, and loses the first one. WireGuard repeats it after 5 s.
func TestLostFirstHandshakeIsRepeatedWithinASecond(t *testing.T) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	require.NoError(t, topology.Translate(t.Context(), west, 0))
	runAgent(t, east)
	runAgent(t, west)
	meshctl(t, east, "init")
	lose := harness.NewLoss(west)
	require.NoError(t, lose.Start(t.Context(), 51820))
	secret, joined := token(t, east), make(chan error, 1)
	go func() {
		_, err := west.Meshctl(within(t, timeout), "join", secret)
		joined <- err
	}()
	eventually(t, timeout, "the first handshake is lost", func(ctx context.Context) error {
		lost, err := lose.Count(ctx)
		if err == nil && lost == 0 {
			err = errors.New("none was sent")
		}
		return err
	})
	require.NoError(t, lose.Stop(t.Context()))
	start := time.Now()
	require.NoError(t, <-joined, "join waits for a tunnel")
	took := time.Since(start)
	t.Logf("found %s after the loss", took.Round(time.Millisecond))
	assert.Less(t, took, 4*time.Second)
}

// copyGateway copies the configuration and the data directory of a gateway to the
// host of another datacenter, as a cloned virtual machine has them.
func copyGateway(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	archive, _, err := from.Gateway.ExecSplit(t.Context(), "sh", "-c", "tar -C /var/lib -c meshway | base64") // tar names files that change meanwhile
	require.NoError(t, err)
	_, err = to.Gateway.ExecInput(t.Context(), archive, "sh", "-c", "base64 -d | tar -C /var/lib -x")
	require.NoError(t, err)
	require.NoError(t, to.Configure(from.Config("gateway: "+from.Name)))
}

func TestCopyOfAGatewayDoesNotStart(t *testing.T) {
	topology := newTopology(t, "east", "west", "copy")
	east, west, other := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	federate(t, east, west)
	copyGateway(t, west, other)
	stream := datagrams(t, east, west)
	agent, err := other.Gateway.Start("meshd", binaries.Meshd, "run", "--config", harness.ConfigFile)
	require.NoError(t, err)
	select {
	case <-agent.Done():
	case <-within(t, timeout).Done():
		require.Fail(t, "the copy runs")
	}
	require.Error(t, agent.Err())
	assert.Contains(t, agent.Log(), "gateway west/west already runs on another host")
	assert.Contains(t, agent.Log(), west.Underlay.Addr().String())
	assert.Zero(t, stream.Stop().Lost())

	west.Agent.Kill()
	require.NoError(t, west.Run(within(t, timeout), binaries), "a restart is no copy")
	awaitFederation(t, east, west)
}

func TestNewerOfTwoHostsThatRunAGatewayStops(t *testing.T) {
	topology := newTopology(t, "east", "copy", "west") // the copy is behind another router than the others
	east, other, west := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	federate(t, east, west)
	require.NoError(t, topology.Cut(t.Context(), west, other)) // the copy learns of the original from east only
	require.NoError(t, topology.Cut(t.Context(), east, other)) // and not before it runs
	copyGateway(t, west, other)
	require.NoError(t, other.Run(within(t, timeout), binaries))
	eventually(t, timeout, "the copy runs", func(ctx context.Context) error {
		snapshot, err := other.Status(ctx)
		if err == nil && len(snapshot.Tunnels) == 0 {
			err = errors.New("it has no tunnel")
		}
		return err
	})
	require.NoError(t, topology.Heal(t.Context()))
	require.NoError(t, topology.Cut(t.Context(), west, other))
	start := time.Now()
	select {
	case <-other.Agent.Done():
	case <-within(t, 3*timeout).Done(): // the hosts take the tunnel from each other with each handshake
		require.Fail(t, "the copy runs")
	}
	t.Logf("the copy stopped after %s", time.Since(start).Round(time.Millisecond))
	assert.Contains(t, other.Agent.Log(), "gateway west/west already runs on another host, which answers gateway east/east at ")
	links, err := other.Gateway.Exec(t.Context(), "ip", "-o", "link")
	require.NoError(t, err)
	assert.NotContains(t, links, "mesh0", "the tunnels of the copy")
	awaitFederation(t, east, west)

	west.Agent.Kill()
	require.NoError(t, west.Run(within(t, timeout), binaries), "a restart is no copy")
	awaitFederation(t, east, west)
	again, err := other.Gateway.Start("meshd", binaries.Meshd, "run", "--config", harness.ConfigFile)
	require.NoError(t, err)
	select {
	case <-again.Done():
	case <-within(t, timeout).Done():
		require.Fail(t, "the copy runs again")
	}
	assert.Contains(t, again.Log(), "already runs on another host")
}
