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

// TestGateways has a cluster whose nodes become gateways and cease to be. From
// the first promise on it has two of them, and a node that is none.
func TestGateways(t *testing.T) {
	tb := newTestbed(t, func(_ int, o *cluster.Options) {
		if o.Name == "east" {
			o.Nodes = 3
		}
	})
	sites := map[*cluster.Cluster]workloads{}
	for _, c := range tb.clusters {
		sites[c] = podsOf(tb.startWorkloads(t, c))
	}
	t.Run("a node that gets the label becomes a gateway by itself", func(t *testing.T) {
		tb.label(t, "=true")
		tb.requireGateways(t, "2/2", tb.clusters...)
		tb.testTraffic(t, sites)
	})
	t.Run("an upgrade of the chart loses no request and keeps what the gateways have in common", func(t *testing.T) { tb.testUpgrade(t, sites) })
	t.Run("an upgrade that renews data planes too, one gateway after the other, loses no request", func(t *testing.T) { tb.testRollingUpgrade(t, sites) })
	t.Run("a gateway that loses the label and gets it back loses no request", func(t *testing.T) { tb.testLabelLost(t, sites) })
	t.Run("when a gateway is cut off the other one carries all", func(t *testing.T) { tb.testOutage(t, sites) })
	t.Run("helm uninstall leaves nothing on any gateway", func(t *testing.T) {
		east, west := tb.clusters[0], tb.clusters[1]
		tb.exec(t, "helm", "uninstall", "meshway", "--kube-context", east.Name(), "-n", namespace, "--wait")
		tb.awaitNothingLeft(t, east, west)
	})
}

// podsOf leaves out the nodes: what they are seen as changes with the label.
func podsOf(s workloads) workloads {
	s.clients = slices.DeleteFunc(s.clients, func(p client) bool { return !p.usesDNS })
	return s
}

// label changes the label of east's second node: "=true" or "-".
func (tb *testbed) label(t *testing.T, change string) {
	t.Helper()
	east := tb.clusters[0]
	tb.exec(t, "kubectl", "--context", east.Name(), "label", "node", east.Nodes()[1].Name, gatewayLabel+change)
}

// requireGateways holds what clusters say of east's gateways: reachable/all.
func (tb *testbed) requireGateways(t *testing.T, want string, in ...*cluster.Cluster) {
	t.Helper()
	for _, c := range in {
		tb.await(t, c.Name()+" sees gateways "+want, func(ctx context.Context) error {
			out, err := c.Kubectl(ctx, "get", "datacenter", "east", "-o", "jsonpath={.status.summary.gateways}")
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("it sees %s", out)
			}
			return err
		})
	}
}

func (tb *testbed) testLabelLost(t *testing.T, sites map[*cluster.Cluster]workloads) {
	tb.requireNoneLost(t, sites, func() {
		tb.label(t, "-")
		tb.requireGateways(t, "1/1", tb.clusters...)
		tb.label(t, "=true")
		tb.requireGateways(t, "2/2", tb.clusters...)
	})
}

// testOutage takes the second gateway's link away: its tunnels and its agent are
// cut off, and its Node stays. Then the link comes back.
func (tb *testbed) testOutage(t *testing.T, sites map[*cluster.Cluster]workloads) {
	east, west := tb.clusters[0], tb.clusters[1]
	gateway := east.Nodes()[1]
	link := func(state string) {
		_, err := tb.lab.Router().Exec(context.WithoutCancel(t.Context()), "ip", "link", "set", gateway.Name, state)
		require.NoError(t, err)
	}
	open := tb.connect(t, west.Nodes()[1], serverOnNode(sites[east]), 12)
	open.await(t, tb, 10)
	link("down")
	defer link("up")
	open.await(t, tb, 50)
	// Else nodes would use it when it has booted, before it has tunnels.
	tb.await(t, "east does not say that the gateway reaches west", func(ctx context.Context) error {
		out, err := east.Kubectl(ctx, "get", "datacenter", west.Name(), "-o", "jsonpath={.status.through[*].gateway}")
		if err == nil && strings.TrimSpace(out) != east.Nodes()[0].Name {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	left := slices.DeleteFunc(slices.Clone(sites[east].targets), func(to target) bool {
		return len(to.pods) > 1 || to.pods[0] == "echo-1" || to.pods[0] == gateway.Name
	})
	for _, p := range sites[east].clients {
		if p.name != east.Name()+" echo-1" {
			tb.await(t, p.name+" reaches west", func(ctx context.Context) error { return p.checkTargets(ctx, sites[west].targets) })
		}
	}
	for _, p := range sites[west].clients {
		tb.await(t, p.name+" reaches what is left of east", func(ctx context.Context) error { return p.checkTargets(ctx, left) })
	}
	tb.requireGateways(t, "1/2", west)
	t.Logf("when a gateway's link went away connections stood still for %s at most", open.stop(t))
	link("up")
	tb.requireGateways(t, "2/2", tb.clusters...)
}
