//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// exitRefused is meshctl's exit code for a request that the federation refuses.
const exitRefused = 4

func TestRefusedJoinChangesNothing(t *testing.T) {
	topology := newTopology(t, "east", "north", "west")
	east, north, joiner := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	federate(t, east, north)

	used := token(t, east)
	runAgent(t, joiner)
	meshctl(t, joiner, "join", used)
	meshctl(t, joiner, "leave", "--yes", "--release")
	awaitMembers(t, east, "east", "north") // the tunnel to a leaving datacenter stays for a moment
	revoked := token(t, east)
	meshctl(t, east, "token", "revoke", validTokenID(t, east))

	for _, c := range []struct {
		name   string
		token  string
		config func(string) string
		want   string
	}{
		{name: "used token", token: used, want: "joined with the token"},
		{name: "revoked token", token: revoked, want: "revoked"},
		{name: "token for another datacenter", token: token(t, east, "--datacenter", "south"), want: "south"},
		{name: "altered token", token: alterToken(token(t, east)), want: "token"},
		{name: "overlapping prefix", token: token(t, east), want: "10.11.0.0/16", config: func(c string) string {
			return strings.Replace(c, "pods: [", "pods: [10.11.128.0/17, ", 1)
		}},
		{name: "taken name", token: token(t, east), want: "north", config: func(c string) string {
			return strings.Replace(c, "datacenter: west", "datacenter: north", 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			joiner.Agent.Kill()
			config := joiner.Config()
			if c.config != nil {
				config = c.config(config)
			}
			require.NoError(t, joiner.Configure(config))
			require.NoError(t, joiner.Run(within(t, timeout), binaries))
			kernelBefore, federationBefore := kernelState(t, joiner.Gateway), federationState(t, east)

			_, err := joiner.Meshctl(within(t, timeout), "join", c.token)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, outputOf(err), c.token, "meshctl does not print the secret")
			assert.NotEqual(t, 0, harness.ExitCode(err))
			assert.Equal(t, kernelBefore, kernelState(t, joiner.Gateway))
			assert.Equal(t, federationBefore, federationState(t, east))
			snapshot, err := joiner.Status(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, "standalone", snapshot.State)
		})
	}
	// A valid token still works after the refusals.
	joiner.Agent.Kill()
	runAgent(t, joiner)
	meshctl(t, joiner, "join", token(t, east))
}

// TestOneOfTwoConflictingJoinsIsRefused runs the joins at the same time.
func TestOneOfTwoConflictingJoinsIsRefused(t *testing.T) {
	for name, conflict := range map[string]struct {
		sameToken bool
		config    func(dc *harness.Datacenter, config string) string
	}{
		"the same token": {sameToken: true},
		"the same name": {config: func(dc *harness.Datacenter, config string) string {
			return strings.Replace(config, "datacenter: "+dc.Name, "datacenter: same", 1)
		}},
		"overlapping prefixes": {config: func(_ *harness.Datacenter, config string) string {
			return strings.Replace(config, "pods: [", "pods: [10.99.0.0/16, ", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			topology := newTopology(t, "east", "west", "north")
			east, joiners := topology.Datacenters[0], topology.Datacenters[1:]
			runAgent(t, east)
			meshctl(t, east, "init")
			tokens := []string{token(t, east), token(t, east)}
			if conflict.sameToken {
				tokens[1] = tokens[0]
			}
			var before [2]string
			for i, dc := range joiners {
				config := dc.Config()
				if conflict.config != nil {
					config = conflict.config(dc, config)
				}
				require.NoError(t, dc.Configure(config))
				require.NoError(t, dc.Run(within(t, timeout), binaries))
				before[i] = kernelState(t, dc.Gateway)
			}

			codes := joinTogether(t, joiners, tokens)
			assert.ElementsMatch(t, []int{0, exitRefused}, codes)
			for i, dc := range joiners {
				if codes[i] == exitRefused {
					assert.Equal(t, before[i], kernelState(t, dc.Gateway), "%s was refused", dc.Name)
				} else {
					awaitFederation(t, east, dc)
				}
			}
		})
	}
}

// joinTogether runs meshctl join on all datacenters at the same time and
// returns the exit codes.
func joinTogether(t *testing.T, joiners []*harness.Datacenter, tokens []string) []int {
	t.Helper()
	codes := make([]int, len(joiners))
	var group errgroup.Group
	ctx := within(t, 2*timeout)
	for i, dc := range joiners {
		group.Go(func() error {
			out, err := dc.Meshctl(ctx, "join", tokens[i])
			codes[i] = harness.ExitCode(err)
			if codes[i] < 0 {
				return err
			}
			t.Logf("%s: %s", dc.Name, out)
			return nil
		})
	}
	require.NoError(t, group.Wait())
	return codes
}

func TestGatewayReconnectsAfterItsUnderlayAddressChanged(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	west := topology.Datacenters[1]
	west.Agent.Kill()
	require.NoError(t, topology.Renumber(west))
	require.NoError(t, west.Run(within(t, timeout), binaries))
	awaitFederation(t, topology.Datacenters...)
	for _, other := range []*harness.Datacenter{topology.Datacenters[0], topology.Datacenters[2]} {
		requireTraffic(t, west, other)
		requireTraffic(t, other, west)
		eventually(t, timeout, other.Name+" lists the new address", func(ctx context.Context) error {
			out, err := other.Meshctl(ctx, "members", "-o", "json")
			if err == nil && !strings.Contains(out, west.Underlay.Addr().String()) {
				err = errors.New("the new address is not listed")
			}
			return err
		})
	}
}

// TestNodePrefixMayContainTheEndpointOfAPeer routes the underlay addresses of
// the tunnels into the tunnels. A reverse-path filter must not drop the packets
// that arrive outside of them.
func TestNodePrefixMayContainTheEndpointOfAPeer(t *testing.T) {
	for name, rpFilter := range map[string]string{"without a filter": "0", "with a strict filter": "1", "with a loose filter": "2"} {
		t.Run("host "+name, func(t *testing.T) {
			testNodePrefixOfPeers(t, func(t *testing.T, dc *harness.Datacenter) { setRPFilter(t, dc.Gateway, rpFilter) })
		})
	}
	t.Run("host with its address on the loopback device", func(t *testing.T) {
		testNodePrefixOfPeers(t, func(t *testing.T, dc *harness.Datacenter) {
			setRPFilter(t, dc.Gateway, "2")
			script := fmt.Sprintf("set -e $(ip -4 route show default); ip addr add %v/32 dev lo; ip addr del %v dev $5; ip route add default via $3 dev $5 onlink",
				dc.Underlay.Addr(), dc.Underlay) // default via $3 dev $5
			out, err := dc.Gateway.Exec(t.Context(), "sh", "-c", script)
			require.NoError(t, err, out)
		})
	})
}

func testNodePrefixOfPeers(t *testing.T, prepare func(*testing.T, *harness.Datacenter)) {
	topology := newTopology(t, "east", "west")
	east, west := topology.Datacenters[0], topology.Datacenters[1]
	for _, dc := range topology.Datacenters {
		prepare(t, dc)
		runAgent(t, dc, fmt.Sprintf("  nodes: [%s]", dc.Underlay.Masked()))
	}
	meshctl(t, east, "init")
	meshctl(t, west, "join", token(t, east))
	awaitFederation(t, east, west)
	requireTraffic(t, east, west)
	requireTraffic(t, west, east)
	out, err := east.Gateway.Exec(t.Context(), "ip", "route", "get", west.Underlay.Addr().String())
	require.NoError(t, err)
	assert.Contains(t, out, "mesh0", "the node address is reached through the tunnel")
	run(t, east.Gateway, "ping -c 1 -W 5 "+west.Underlay.Addr().String())

	for _, dc := range topology.Datacenters {
		dc.Agent.Kill()
	}
	for _, dc := range topology.Datacenters {
		require.NoError(t, dc.Run(within(t, timeout), binaries))
	}
	awaitFederation(t, east, west)
	requireTraffic(t, west, east)
	for _, dc := range topology.Datacenters {
		assert.Zero(t, droppedByReversePath(t, dc.Gateway), "packets that the reverse-path filter of %s dropped", dc.Name)
	}
}

// setRPFilter sets the reverse-path filter of all present and future devices.
func setRPFilter(t *testing.T, host *harness.Host, value string) {
	t.Helper()
	run(t, host, "sysctl -qw net.ipv4.conf.all.rp_filter="+value+" net.ipv4.conf.default.rp_filter="+value)
}

func TestErrorOfAPortInUseNamesTheProgram(t *testing.T) {
	topology := newTopology(t, "east")
	east := topology.Datacenters[0]
	for _, port := range []uint16{7443, 51820} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			t.Cleanup(func() { stopAgent(east) })
			owner, err := east.Gateway.Serve(within(t, timeout), port, east.Underlay.Addr())
			require.NoError(t, err)
			before := kernelState(t, east.Gateway)
			runAgent(t, east)
			_, err = east.Meshctl(within(t, timeout), "init")
			require.ErrorContains(t, err, fmt.Sprint(port))
			require.ErrorContains(t, err, "netns.test", "the program that holds the port")
			assert.Equal(t, before, kernelState(t, east.Gateway))
			owner.Kill()
		})
	}
	runAgent(t, east)
	meshctl(t, east, "init")
}

func stopAgent(dc *harness.Datacenter) {
	if dc.Agent != nil {
		dc.Agent.Kill()
	}
}

// federationState returns the members and their gateways without the fields
// that change over time.
func federationState(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	snapshot, err := dc.Status(t.Context())
	require.NoError(t, err)
	var lines strings.Builder
	for _, member := range snapshot.Datacenters {
		fmt.Fprintln(&lines, member.Name, member.JoinedAt, member.Prefixes)
		for _, gateway := range member.Gateways {
			fmt.Fprintln(&lines, gateway.ID, gateway.Overlay, gateway.Endpoints, gateway.Controls)
		}
	}
	return lines.String()
}

// validTokenID returns the id of the only valid token.
func validTokenID(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	var list struct{ Tokens []struct{ ID, State string } }
	require.NoError(t, dc.Query(t.Context(), &list, "token", "list"))
	for _, listed := range list.Tokens {
		if listed.State == "valid" {
			return listed.ID
		}
	}
	t.Fatalf("none of %d tokens is valid", len(list.Tokens))
	return ""
}

// alterToken changes one character in the middle of a token.
func alterToken(token string) string {
	at := len(token) / 2
	other := byte('a')
	if token[at] == other {
		other = 'b'
	}
	return token[:at] + string(other) + token[at+1:]
}

// outputOf returns the program's output from an error of the harness, without
// the command line that precedes it.
func outputOf(err error) string {
	_, output, _ := strings.Cut(err.Error(), ": exit status")
	return output
}
