//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// serverOnNode is where the server on east's last node listens, which is no gateway.
func serverOnNode(east workloads) string {
	for _, to := range east.targets {
		if to.name == "echo-2" {
			return strings.Trim(strings.TrimPrefix(to.url, "http:"), "/")
		}
	}
	return ""
}

// requireNoneLost holds that while act acts no request is lost: of those that pods
// of west send through east's gateways, each over a connection of its own. No
// connection that lasts may break either.
func (tb *testbed) requireNoneLost(t *testing.T, sites map[*cluster.Cluster]workloads, act func()) {
	t.Helper()
	server := serverOnNode(sites[tb.clusters[0]])
	open := tb.connect(t, tb.clusters[1].Nodes()[1], server, 6)
	stops := map[string]func() []string{}
	for _, p := range sites[tb.clusters[1]].clients {
		stops[p.name] = tb.startRequests(t, p, "http://"+server+"/")
	}
	open.await(t, tb, 10)
	act()
	open.await(t, tb, 10)
	for name, stop := range stops {
		assert.Empty(t, stop(), "requests from %s", name)
	}
	t.Logf("connections stood still for %s at most", open.stop(t))
}

func (tb *testbed) secret(ctx context.Context, key string) (string, error) {
	return tb.clusters[0].Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

// testUpgrade renews the agents; data planes go on.
func (tb *testbed) testUpgrade(t *testing.T, sites map[*cluster.Cluster]workloads) {
	before, err := tb.secret(within(t, timeout), "ca.key")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	tb.requireNoneLost(t, sites, func() {
		tb.upgrade(t, tb.clusters[0], "--set", "agent.podLabels.upgraded=yes")
	})
	after, err := tb.secret(within(t, timeout), "ca.key")
	require.NoError(t, err)
	assert.True(t, before == after, "the key is another one now") // not printed
}

// testRollingUpgrade renews agents and data planes at the same time.
func (tb *testbed) testRollingUpgrade(t *testing.T, sites map[*cluster.Cluster]workloads) {
	east := tb.clusters[0]
	gateways := east.Nodes()[:2]
	before := []string{tb.dataPlanePod(t, gateways[0]), tb.dataPlanePod(t, gateways[1])}
	tb.requireNoneLost(t, sites, func() {
		tb.upgrade(t, east, "--set", "userspace.updates=rolling,agent.podLabels.upgraded=again")
		// The DaemonSet leaves time between two gateways.
		out, err := east.Kubectl(within(t, 4*timeout), "-n", namespace, "rollout", "status", "daemonset/meshway-dataplane")
		require.NoError(t, err, out)
		for i, gateway := range gateways {
			assert.NotEqual(t, before[i], tb.dataPlanePod(t, gateway))
			tb.awaitInUse(t, gateway)
		}
	})
}

// awaitInUse holds that a gateway of east that was drained is sent to again: by
// nodes of its own, and by west, which measures the round trip only then.
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
			err = errors.New("nodes may use it: " + nodes + ", round trip of others: " + others)
		}
		return err
	})
}

// dataPlanePod is the pod of the data plane on a node.
func (tb *testbed) dataPlanePod(t *testing.T, node *cluster.Node) string {
	t.Helper()
	return strings.TrimSpace(tb.exec(t, "kubectl", "--context", tb.clusters[0].Name(), "-n", namespace, "get", "pod",
		"-l", "app.kubernetes.io/component=dataplane", "--field-selector", "spec.nodeName="+node.Name, "-o", "jsonpath={.items[*].metadata.name}"))
}
