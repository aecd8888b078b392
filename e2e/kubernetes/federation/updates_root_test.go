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

// behind is where the server on east's last node listens, which is no gateway.
func behind(east site) string {
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
func (w *world) requireNoneLost(t *testing.T, sites map[*cluster.Cluster]site, act func()) {
	t.Helper()
	server := behind(sites[w.clusters[0]])
	open := w.connect(t, w.clusters[1].Nodes()[1], server, 6)
	stops := map[string]func() []string{}
	for _, p := range sites[w.clusters[1]].places {
		stops[p.name] = w.load(t, p, "http://"+server+"/")
	}
	open.await(t, w, 10)
	act()
	open.await(t, w, 10)
	for name, stop := range stops {
		assert.Empty(t, stop(), "requests from %s", name)
	}
	t.Logf("connections stood still for %s at most", open.stop(t))
}

func (w *world) secret(ctx context.Context, key string) (string, error) {
	return w.clusters[0].Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

// testUpgrade renews the agents; data planes go on.
func (w *world) testUpgrade(t *testing.T, sites map[*cluster.Cluster]site) {
	before, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	w.requireNoneLost(t, sites, func() {
		w.upgrade(t, w.clusters[0], "--set", "agent.podLabels.upgraded=yes")
	})
	after, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	assert.True(t, before == after, "the key is another one now") // not printed
}

// testRollingUpgrade renews agents and data planes at the same time.
func (w *world) testRollingUpgrade(t *testing.T, sites map[*cluster.Cluster]site) {
	east := w.clusters[0]
	gateways := east.Nodes()[:2]
	before := []string{w.dataPlane(t, gateways[0]), w.dataPlane(t, gateways[1])}
	w.requireNoneLost(t, sites, func() {
		w.upgrade(t, east, "--set", "userspace.updates=rolling,agent.podLabels.upgraded=again")
		// The DaemonSet leaves time between two gateways.
		out, err := east.Kubectl(within(t, 4*patience), "-n", namespace, "rollout", "status", "daemonset/meshway-dataplane")
		require.NoError(t, err, out)
		for i, gateway := range gateways {
			assert.NotEqual(t, before[i], w.dataPlane(t, gateway))
			w.requireInUse(t, gateway)
		}
	})
}

// requireInUse holds that a gateway of east that was drained is sent to again: by
// nodes of its own, and by west, which measures the round trip only then.
func (w *world) requireInUse(t *testing.T, gateway *cluster.Node) {
	t.Helper()
	east, west := w.clusters[0], w.clusters[1]
	w.await(t, gateway.Name+" is in use again", func(ctx context.Context) error {
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

// dataPlane is the pod of the data plane on a node.
func (w *world) dataPlane(t *testing.T, node *cluster.Node) string {
	t.Helper()
	return strings.TrimSpace(w.run(t, "kubectl", "--context", w.clusters[0].Name(), "-n", namespace, "get", "pod",
		"-l", "app.kubernetes.io/component=dataplane", "--field-selector", "spec.nodeName="+node.Name, "-o", "jsonpath={.items[*].metadata.name}"))
}
