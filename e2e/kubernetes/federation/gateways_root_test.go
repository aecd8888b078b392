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
	t.Run("an upgrade of the chart loses no request and keeps what the gateways have in common", func(t *testing.T) { w.testUpgrade(t, sites) })
	t.Run("an upgrade that renews data planes too, one gateway after the other, loses no request", func(t *testing.T) { w.testRollingUpgrade(t, sites) })
	t.Run("a gateway that loses the label and gets it back loses no request", func(t *testing.T) { w.testLabelLost(t, sites) })
	t.Run("when a gateway is cut off the other one carries all", func(t *testing.T) { w.testOutage(t, sites) })
	t.Run("helm uninstall leaves nothing on any gateway", func(t *testing.T) {
		east, west := w.clusters[0], w.clusters[1]
		w.run(t, "helm", "uninstall", "meshway", "--kube-context", east.Name(), "-n", namespace, "--wait")
		w.requireNothingLeft(t, east, west)
	})
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

func (w *world) testLabelLost(t *testing.T, sites map[*cluster.Cluster]site) {
	w.requireNoneLost(t, sites, func() {
		w.label(t, "-")
		w.requireGateways(t, "1/1", w.clusters...)
		w.label(t, "=true")
		w.requireGateways(t, "2/2", w.clusters...)
	})
}

// testOutage takes the second gateway's link away: its tunnels and its agent are
// cut off, and its Node stays. Then the link comes back.
func (w *world) testOutage(t *testing.T, sites map[*cluster.Cluster]site) {
	east, west := w.clusters[0], w.clusters[1]
	gateway := east.Nodes()[1]
	link := func(state string) {
		_, err := w.lab.Router().Exec(context.WithoutCancel(t.Context()), "ip", "link", "set", gateway.Name, state)
		require.NoError(t, err)
	}
	open := w.connect(t, west.Nodes()[1], behind(sites[east]), 12)
	open.await(t, w, 10)
	link("down")
	defer link("up")
	open.await(t, w, 50)
	// Else nodes would use it when it has booted, before it has tunnels.
	w.await(t, "east does not say that the gateway reaches west", func(ctx context.Context) error {
		out, err := east.Kubectl(ctx, "get", "datacenter", west.Name(), "-o", "jsonpath={.status.through[*].gateway}")
		if err == nil && strings.TrimSpace(out) != east.Nodes()[0].Name {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
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
	t.Logf("when a gateway's link went away connections stood still for %s at most", open.stop(t))
	link("up")
	w.requireGateways(t, "2/2", w.clusters...)
}
