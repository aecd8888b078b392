//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
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

// requireNoneLost holds that while act acts no request is lost.
func (w *world) requireNoneLost(t *testing.T, sites map[*cluster.Cluster]site, act func()) {
	t.Helper()
	assert.Empty(t, w.underLoad(t, sites, act), "requests from west")
}

// underLoad acts while requests go through east's gateways: from pods of west,
// each over a connection of its own, and over connections that last, none of which
// may break. It returns the requests of the pods that were lost.
func (w *world) underLoad(t *testing.T, sites map[*cluster.Cluster]site, act func()) (lost []string) {
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
		for _, line := range stop() {
			lost = append(lost, name+": "+line)
		}
	}
	t.Logf("connections stood still for %s at most", open.stop(t))
	return lost
}

func (w *world) secret(ctx context.Context, key string) (string, error) {
	return w.clusters[0].Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

// testUpgrade renews the agents; data planes go on.
func (w *world) testUpgrade(t *testing.T, sites map[*cluster.Cluster]site) {
	before, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	root, err := chart.Root(t.Context())
	require.NoError(t, err)
	w.requireNoneLost(t, sites, func() {
		w.run(t, "helm", "upgrade", "meshway", root+"/deploy/chart/meshway", "--kube-context", "east", "-n", install.Namespace,
			"--reuse-values", "--set", "agent.podLabels.upgraded=yes")
		w.run(t, "kubectl", "--context", "east", "-n", install.Namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	})
	after, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	assert.True(t, before == after, "the key is another one now") // not printed
}

// testDataPlanes renews the data planes of both gateways as an operator does
// whose chart has userspace.updates=manual. With "rolling" the DaemonSet does it, with
// a pause that no test has the time for. Packets are lost, though few: requests that
// are, and for how long connections stand still, is a figure and no promise.
func (w *world) testDataPlanes(t *testing.T, sites map[*cluster.Cluster]site) {
	east := w.clusters[0]
	lost := w.underLoad(t, sites, func() {
		for _, gateway := range east.Nodes()[:2] {
			before := w.dataPlane(t, gateway)
			w.run(t, "kubectl", "--context", east.Name(), "-n", namespace, "delete", "pod", before)
			w.await(t, gateway.Name+" has another data plane", func(ctx context.Context) error {
				out, err := east.Kubectl(ctx, "-n", namespace, "get", "pod", "-o", "jsonpath={.items[*].status.containerStatuses[*].ready}",
					"-l", "app.kubernetes.io/component=dataplane,upgraded=yes", "--field-selector", "spec.nodeName="+gateway.Name)
				if err == nil && strings.TrimSpace(out) != "true" {
					err = errors.New("ready: " + out)
				}
				return err
			})
			_, err := gateway.Exec(within(t, patience), w.meshctl, "undrain")
			require.NoError(t, err)
			w.requireInUse(t, gateway)
		}
	})
	t.Logf("requests lost: %q", lost)
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
