//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// serverOnNode returns the address of the server on east's third node, which is
// not a gateway.
func serverOnNode(east workloads) string {
	for _, to := range east.targets {
		if to.name == "echo-2" {
			return strings.Trim(strings.TrimPrefix(to.url, "http:"), "/")
		}
	}
	return ""
}

// requireNoneLost asserts that action causes no failed request and breaks no open
// connection from west through east's gateways.
func (tb *testbed) requireNoneLost(t *testing.T, all map[*cluster.Cluster]workloads, action func()) {
	t.Helper()
	server := serverOnNode(all[tb.clusters[0]])
	open := tb.connect(t, tb.clusters[1].Nodes()[1], server, 6)
	stops := map[string]func() []string{}
	for _, from := range all[tb.clusters[1]].clients {
		stops[from.name] = tb.startRequests(t, from, "http://"+server+"/")
	}
	open.await(t, tb, 10)
	action()
	open.await(t, tb, 10)
	for name, stop := range stops {
		assert.Empty(t, stop(), "requests from %s", name)
	}
	t.Logf("the longest interruption of a connection took %s", open.stop(t))
}

func (tb *testbed) secret(ctx context.Context, key string) (string, error) {
	return tb.clusters[0].Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

// testUpgrade replaces the agents but not the data planes.
func (tb *testbed) testUpgrade(t *testing.T, all map[*cluster.Cluster]workloads) {
	before, err := tb.secret(within(t, timeout), "ca.key")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	tb.requireNoneLost(t, all, func() {
		tb.upgrade(t, tb.clusters[0], "--set", "agent.podLabels.upgraded=yes")
	})
	after, err := tb.secret(within(t, timeout), "ca.key")
	require.NoError(t, err)
	assert.True(t, before == after, "the CA key has changed") // assert.Equal would print the keys
}

var upgrades = flag.Int("upgrades", 1, "how often the data planes are upgraded")

// testRollingUpgrades upgrades the data planes as often as the flag has it.
func (tb *testbed) testRollingUpgrades(t *testing.T, all map[*cluster.Cluster]workloads) {
	for n := range *upgrades {
		t.Run(fmt.Sprint("upgrade ", n+1), func(t *testing.T) {
			stop := measureDelay()
			tb.testRollingUpgrade(t, all, n)
			t.Log(stop())
		})
	}
}

// testRollingUpgrade replaces agents and data planes at the same time.
func (tb *testbed) testRollingUpgrade(t *testing.T, all map[*cluster.Cluster]workloads, n int) {
	east := tb.clusters[0]
	gateways := east.Nodes()[:2]
	before := []string{tb.dataPlanePod(t, gateways[0]), tb.dataPlanePod(t, gateways[1])}
	tb.requireNoneLost(t, all, func() {
		tb.upgrade(t, east, "--set", fmt.Sprintf("userspace.updates=rolling,agent.podLabels.upgraded=again-%d", n))
		// The DaemonSet waits between two gateways.
		out, err := east.Kubectl(within(t, 4*timeout), "-n", namespace, "rollout", "status", "daemonset/meshway-dataplane")
		require.NoError(t, err, out)
		for i, gateway := range gateways {
			assert.NotEqual(t, before[i], tb.dataPlanePod(t, gateway))
			tb.awaitInUse(t, gateway)
		}
	})
}

// awaitInUse waits until a gateway of east that was drained is in use again, by
// nodes of east and by west, which measures its round-trip time only then.
func (tb *testbed) awaitInUse(t *testing.T, gateway *cluster.Node) {
	t.Helper()
	east, west := tb.clusters[0], tb.clusters[1]
	tb.await(t, gateway.Name+" is in use again", func(ctx context.Context) error {
		nodes, err := east.Kubectl(ctx, "get", "datacenter", west.Name(),
			"-o", "jsonpath={.status.through[?(@.gateway==\""+gateway.Name+"\")].peers[*].reachable}")
		if err != nil {
			return err
		}
		others, err := west.Kubectl(ctx, "get", "datacenter", east.Name(),
			"-o", "jsonpath={.status.through[*].peers[?(@.name==\""+gateway.Name+"\")].rtt}")
		if err == nil && (strings.TrimSpace(nodes) != "true" || strings.TrimSpace(others) == "") {
			err = errors.New("reachable for nodes: " + nodes + ", round-trip time for west: " + others)
		}
		return err
	})
}

// dataPlanePod returns the name of the data plane's pod on a node.
func (tb *testbed) dataPlanePod(t *testing.T, node *cluster.Node) string {
	t.Helper()
	return strings.TrimSpace(tb.exec(t, "kubectl", "--context", tb.clusters[0].Name(), "-n", namespace, "get", "pod",
		"-l", "app.kubernetes.io/component=dataplane", "--field-selector", "spec.nodeName="+node.Name, "-o", "jsonpath={.items[*].metadata.name}"))
}
