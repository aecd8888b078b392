//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/harness"
)

const witnessConfig = "datacenter: witness\nwitness: true\n"

// joinWitness starts the agent of a witness and lets it join through a member.
func joinWitness(t *testing.T, witness, through *harness.Datacenter) {
	t.Helper()
	require.NoError(t, witness.Configure(witness.Config("witness: true")))
	_, err := witness.Gateway.Exec(t.Context(), binaries.Meshd, "config", "check", harness.ConfigFile)
	require.ErrorContains(t, err, "prefixes.pods: a witness only votes")
	_, err = witness.Gateway.Exec(t.Context(), binaries.Meshd, "run", "--config", harness.ConfigFile)
	require.ErrorContains(t, err, "prefixes.pods: a witness only votes", "the agent does not start")

	require.NoError(t, witness.Configure(witnessConfig))
	require.NoError(t, witness.Run(within(t, timeout), binaries))
	token, _, err := through.MeshctlSplit(within(t, timeout), "token", "create", "--datacenter", "witness")
	require.NoError(t, err)
	meshctl(t, witness, "join", strings.TrimSpace(token))
}

// awaitLeadership waits until a datacenter leads.
func awaitLeadership(t *testing.T, dc *harness.Datacenter) (snapshot status.Snapshot) {
	t.Helper()
	eventually(t, 2*timeout, dc.Name+" leads", func(ctx context.Context) (err error) {
		if snapshot, err = dc.Status(ctx); err == nil && snapshot.Catalog.Role != "leader" {
			err = fmt.Errorf("the leader is %q", snapshot.Catalog.Leader)
		}
		return err
	})
	return snapshot
}

// requireOnlyOverlay asserts that a witness has no route to the prefixes of others, and
// that it does not forward.
func requireOnlyOverlay(t *testing.T, witness *harness.Datacenter, forwarding string) {
	t.Helper()
	for _, family := range []string{"-4", "-6"} {
		table, err := witness.Gateway.Exec(t.Context(), "ip", family, "route", "show", "table", "7117")
		if err == nil { // the kernel reports an error for a table without routes
			assert.NotRegexp(t, `\b(10\.[12]|fd00:1)`, table)
		}
	}
	assert.Equal(t, forwarding, forwardingOf(t, witness))
}

// forwardingOf returns whether the host of a datacenter forwards.
func forwardingOf(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	out, err := dc.Gateway.Exec(t.Context(), "cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")
	require.NoError(t, err)
	return out
}

// registers requires that a service is registered, and not queued, within the time of an
// election.
func registers(t *testing.T, dc *harness.Datacenter, name string) {
	t.Helper()
	eventually(t, timeout, "the catalog accepts the service", func(ctx context.Context) error {
		out, err := dc.Meshctl(ctx, "service", "register", name, "--address", dc.Workloads[0].Service.String(), "--port", "8080")
		if err == nil && !strings.Contains(out, "registered at index") {
			err = errors.New(out)
		}
		return err
	})
}

func TestCatalogSurvivesTheLossOfEitherOfTwoDatacentersWithAWitness(t *testing.T) {
	topology := newTopology(t, "east", "west", "witness")
	east, west, witness := topology.Datacenters[0], topology.Datacenters[1], topology.Datacenters[2]
	federate(t, east, west)
	forwarding := forwardingOf(t, witness)

	stream := datagrams(t, east, west)
	joinWitness(t, witness, east)
	awaitFederation(t, east, west, witness)
	require.NoError(t, harness.AwaitVoters(within(t, 2*timeout), 3, east, west, witness))
	requireNoneLost(t, stream)
	requireOnlyOverlay(t, witness, forwarding)
	assert.Regexp(t, `(?m)^witness .* voter .* \(witness\) *$`, meshctl(t, east, "members"))
	_, err := east.Meshctl(within(t, timeout), "raft", "transfer-leader", "witness/witness")
	require.ErrorContains(t, err, "is a witness")
	_, err = witness.Meshctl(within(t, timeout), "service", "register", "own", "--address", "10.13.1.10", "--port", "80")
	require.ErrorContains(t, err, "prefixes of datacenter witness")

	for _, loss := range []struct{ lost, left *harness.Datacenter }{{east, west}, {west, east}} {
		requireLeader(t, loss.lost)
		awaitLeadership(t, loss.lost)
		require.NoError(t, topology.Isolate(t.Context(), loss.lost))
		loss.lost.Agent.Kill()
		registers(t, loss.left, "without-"+loss.lost.Name)
		snapshot := awaitLeadership(t, loss.left)
		assert.Equal(t, 3, snapshot.Catalog.Voters)
		eventually(t, timeout, "the witness has the service", func(ctx context.Context) error {
			_, err := witness.Meshctl(ctx, "services", "without-"+loss.lost.Name, "--read", "stale")
			return err
		})
		eventually(t, timeout, "the status names the datacenter that is lost", func(ctx context.Context) error {
			snapshot, err := loss.left.Status(ctx)
			for _, p := range snapshot.Problems {
				switch {
				case p.Code == "datacenter-unreachable" && p.Subject == "datacenter "+loss.lost.Name:
					return nil
				case p.Code == "no-leader":
					return errors.New(p.Message)
				}
			}
			return errors.Join(err, fmt.Errorf("the problems are %v", snapshot.Problems))
		})
		require.NoError(t, topology.Heal(t.Context()))
		require.NoError(t, loss.lost.Run(within(t, timeout), binaries))
		awaitFederation(t, east, west, witness)
		requireTraffic(t, east, west)
	}

	witness.Agent.Kill()
	registers(t, west, "without-witness")
	require.NoError(t, witness.Run(within(t, timeout), binaries))
	awaitFederation(t, east, west, witness)
	stream = datagrams(t, east, west)
	meshctl(t, witness, "leave", "--yes")
	awaitMembers(t, east, "east", "west")
	requireTraffic(t, west, east)
	requireNoneLost(t, stream)
}
