//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

const gatewayLabel = "meshway.io/gateway"

// TestClusterWithSeveralGateways tests a cluster of three nodes, whose second node
// becomes a gateway in the first subtest.
func TestClusterWithSeveralGateways(t *testing.T) {
	tb := newTestbed(t, func(_ int, o *cluster.Options) {
		if o.Name == "east" {
			o.Nodes = 3
		}
	})
	all := map[*cluster.Cluster]workloads{}
	for _, c := range tb.clusters {
		all[c] = podsOf(tb.startWorkloads(t, c))
	}
	t.Run("a node with the label becomes a gateway and loses no request", func(t *testing.T) {
		tb.requireNoneLost(t, all, func() {
			tb.label(t, "=true")
			tb.awaitGateways(t, "east", "2/2", tb.clusters...)
		})
		tb.testTraffic(t, all)
	})
	t.Run("an upgrade of the chart loses no request and keeps the shared state", func(t *testing.T) { tb.testUpgrade(t, all) })
	t.Run("a rolling upgrade of the data planes loses no request", func(t *testing.T) { tb.testRollingUpgrades(t, all) })
	t.Run("removing and adding the label of a gateway loses no request", func(t *testing.T) { tb.testLabelRemoved(t, all) })
	t.Run("the other gateway carries all traffic while a gateway is disconnected", func(t *testing.T) { tb.testOutage(t, all) })
	t.Run("replacing the CA of each cluster loses no request", func(t *testing.T) { tb.testRotation(t, all) })
	t.Run("helm uninstall leaves nothing on any gateway", func(t *testing.T) {
		east, west := tb.clusters[0], tb.clusters[1]
		tb.exec(t, "helm", "uninstall", "meshway", "--kube-context", east.Name(), "-n", namespace, "--wait")
		tb.awaitNothingLeft(t, east, west)
	})
}

// podsOf removes the clients on nodes, whose source addresses depend on the label.
func podsOf(s workloads) workloads {
	s.clients = slices.DeleteFunc(s.clients, func(from client) bool { return !from.usesDNS })
	return s
}

// label sets or removes the label of east's second node; change is "=true" or "-".
func (tb *testbed) label(t *testing.T, change string) {
	t.Helper()
	east := tb.clusters[0]
	tb.exec(t, "kubectl", "--context", east.Name(), "label", "node", east.Nodes()[1].Name, gatewayLabel+change)
}

// awaitGateways waits until the clusters report the numbers of east's reachable
// and of all its gateways, in the format "1/2".
func (tb *testbed) awaitGateways(t *testing.T, of, want string, in ...*cluster.Cluster) {
	t.Helper()
	for _, c := range in {
		tb.await(t, c.Name()+" reports gateways "+want+" of "+of, func(ctx context.Context) error {
			out, err := c.Kubectl(ctx, "get", "datacenter", of, "-o", "jsonpath={.status.summary.gateways}")
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("it reports %s", out)
			}
			return err
		})
	}
}

func (tb *testbed) testLabelRemoved(t *testing.T, all map[*cluster.Cluster]workloads) {
	tb.requireNoneLost(t, all, func() {
		tb.label(t, "-")
		tb.awaitGateways(t, "east", "1/1", tb.clusters...)
		tb.label(t, "=true")
		tb.awaitGateways(t, "east", "2/2", tb.clusters...)
	})
}

// testOutage disconnects the link of the second gateway, whose Node object stays,
// and reconnects it.
func (tb *testbed) testOutage(t *testing.T, all map[*cluster.Cluster]workloads) {
	east, west := tb.clusters[0], tb.clusters[1]
	gateway := east.Nodes()[1]
	link := func(state string) {
		_, err := tb.lab.Router().Exec(context.WithoutCancel(t.Context()), "ip", "link", "set", gateway.Name, state)
		require.NoError(t, err)
	}
	open := tb.connect(t, west.Nodes()[1], serverOnNode(all[east]), 12)
	open.await(t, tb, 10)
	link("down")
	defer link("up")
	open.await(t, tb, 50)
	// Otherwise nodes would use the gateway after a restart before it has tunnels.
	tb.await(t, "only the first gateway of east reports a path to west", func(ctx context.Context) error {
		out, err := east.Kubectl(ctx, "get", "datacenter", west.Name(), "-o", "jsonpath={.status.through[*].gateway}")
		if err == nil && strings.TrimSpace(out) != east.Nodes()[0].Name {
			err = fmt.Errorf("the gateways are %s", out)
		}
		return err
	})
	left := slices.DeleteFunc(slices.Clone(all[east].targets), func(to target) bool {
		return len(to.pods) > 1 || to.pods[0] == "echo-1" || to.pods[0] == gateway.Name
	})
	for _, from := range all[east].clients {
		if from.name != east.Name()+" echo-1" {
			tb.await(t, from.name+" reaches west", func(ctx context.Context) error { return from.checkTargets(ctx, all[west].targets) })
		}
	}
	for _, from := range all[west].clients {
		tb.await(t, from.name+" reaches the other targets of east", func(ctx context.Context) error { return from.checkTargets(ctx, left) })
	}
	tb.awaitGateways(t, "east", "1/2", west)
	t.Logf("after the disconnection of a gateway, the longest interruption of a connection took %s", open.stop(t))
	link("up")
	tb.awaitGateways(t, "east", "2/2", tb.clusters...)
}
