//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

const gatewayLabel = "meshway.io/gateway"

// TestGateways has a cluster whose nodes become gateways and cease to be.
func TestGateways(t *testing.T) {
	w := newWorld(t, func(_ int, o *cluster.Options) {
		if o.Name == "east" {
			o.Nodes = 3
		}
	})
	sites := map[*cluster.Cluster]site{}
	for _, c := range w.clusters {
		sites[c] = podsOf(w.serve(t, c))
	}
	t.Run("a node that gets the label becomes a gateway by itself", func(t *testing.T) {
		w.label(t, "=true")
		w.requireGateways(t, "2/2", w.clusters...)
		w.testTraffic(t, sites)
	})
	t.Run("an upgrade of the chart keeps what the gateways have in common", w.testUpgrade)
	t.Run("when a gateway is cut off the other one carries all", func(t *testing.T) { w.testOutage(t, sites) })
}

// podsOf leaves out the nodes: what they are seen as changes with the label.
func podsOf(s site) site {
	s.places = slices.DeleteFunc(s.places, func(p place) bool { return !p.names })
	return s
}

// label changes the label of east's second node: "=true" or "-".
func (w *world) label(t *testing.T, change string) {
	t.Helper()
	east := w.clusters[0]
	w.run(t, "kubectl", "--context", east.Name(), "label", "node", east.Nodes()[1].Name, gatewayLabel+change)
}

// requireGateways holds what clusters say of east's gateways: reachable/all.
func (w *world) requireGateways(t *testing.T, want string, in ...*cluster.Cluster) {
	t.Helper()
	for _, c := range in {
		w.await(t, c.Name()+" sees gateways "+want, func(ctx context.Context) error {
			out, err := c.Kubectl(ctx, "get", "datacenter", "east", "-o", "jsonpath={.status.summary.gateways}")
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("it sees %s", out)
			}
			return err
		})
	}
}

func (w *world) secret(ctx context.Context, key string) (string, error) {
	return w.clusters[0].Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

func (w *world) testUpgrade(t *testing.T) {
	before, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	require.NotEmpty(t, before)
	root, err := chart.Root(t.Context())
	require.NoError(t, err)
	w.run(t, "helm", "upgrade", "meshway", root+"/deploy/chart/meshway", "--kube-context", "east", "-n", install.Namespace,
		"--reuse-values", "--set", "agent.podLabels.upgraded=yes")
	w.run(t, "kubectl", "--context", "east", "-n", install.Namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	after, err := w.secret(within(t, patience), "ca.key")
	require.NoError(t, err)
	assert.True(t, before == after, "the key is another one now") // not printed
}

// testOutage takes the second gateway's link down for good: its tunnels and its
// agent are cut off, and its Node stays.
func (w *world) testOutage(t *testing.T, sites map[*cluster.Cluster]site) {
	east, west := w.clusters[0], w.clusters[1]
	gateway := east.Nodes()[1]
	device, err := gateway.Exec(within(t, patience), "sh", "-c", "ip -o route get 203.0.113.254 | sed 's/.* dev \\([^ ]*\\).*/\\1/'")
	require.NoError(t, err)
	_, err = gateway.Exec(within(t, patience), "ip", "link", "set", strings.TrimSpace(device), "down")
	require.NoError(t, err)
	left := slices.DeleteFunc(slices.Clone(sites[east].targets), func(to target) bool {
		return len(to.pods) > 1 || to.pods[0] == "echo-1" || to.pods[0] == gateway.Name
	})
	for _, p := range sites[east].places {
		if p.name != east.Name()+" echo-1" {
			w.await(t, p.name+" reaches west", func(ctx context.Context) error { return p.reach(ctx, sites[west].targets) })
		}
	}
	for _, p := range sites[west].places {
		w.await(t, p.name+" reaches what is left of east", func(ctx context.Context) error { return p.reach(ctx, left) })
	}
	w.requireGateways(t, "1/2", west)
}
