//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// echoPod is the server of the tests on one node.
const echoPod = `
apiVersion: v1
kind: Pod
metadata: {name: echo-%[1]d, labels: {app: echo}}
spec:
  nodeName: %[2]s
  containers: [{name: echo, image: meshway.test/echo:1, imagePullPolicy: Never}]
`

// pods starts one echo server on each node and returns their addresses.
func (w *world) pods(t *testing.T, c *cluster.Cluster) []netip.Addr {
	t.Helper()
	for i, node := range c.Nodes() {
		require.NoError(t, c.Apply(within(t, patience), fmt.Sprintf(echoPod, i, node.Name)))
	}
	var addresses []netip.Addr
	w.run(t, "kubectl", "--context", c.Name(), "wait", "pod", "-l", "app=echo", "--for=condition=Ready", "--timeout=60s")
	for i := range c.Nodes() {
		out := w.run(t, "kubectl", "--context", c.Name(), "get", "pod", fmt.Sprintf("echo-%d", i), "-o", "jsonpath={.status.podIP}")
		addr, err := netip.ParseAddr(strings.TrimSpace(out))
		require.NoError(t, err)
		addresses = append(addresses, addr)
	}
	return addresses
}

// TestClusters brings clusters up once for all promises.
func TestClusters(t *testing.T) {
	w := newWorld(t)
	addresses := map[string][]netip.Addr{}
	for _, c := range w.clusters {
		addresses[c.Name()] = w.pods(t, c)
	}
	t.Run("pods reach each other under their own addresses", func(t *testing.T) { w.testTraffic(t, addresses) })
	t.Run("datacenters are seen in each cluster", w.testInventory)
	t.Run("an exported service is used by name", w.testServices)
	t.Run("a rolling update loses no request", func(t *testing.T) {
		w.testAgentRestart(t, "http://"+net.JoinHostPort(addresses["east"][0].String(), "8080")+"/")
	})
	t.Run("leaving removes what was written", w.testLeave)
}

func (w *world) testTraffic(t *testing.T, addresses map[string][]netip.Addr) {
	for _, from := range w.clusters {
		for _, to := range w.clusters {
			if from == to {
				continue
			}
			for i, source := range addresses[from.Name()] {
				for j, target := range addresses[to.Name()] {
					t.Run(fmt.Sprintf("%s node %d to %s node %d", from.Name(), i+1, to.Name(), j+1), func(t *testing.T) {
						w.requireReach(t, from, i, source, target)
					})
				}
			}
		}
	}
}

// requireReach holds that a pod reaches an address, and is seen as itself.
func (w *world) requireReach(t *testing.T, from *cluster.Cluster, pod int, source, target netip.Addr) {
	t.Helper()
	url := "http://" + net.JoinHostPort(target.String(), "8080") + "/"
	w.await(t, "an answer of "+target.String(), func(ctx context.Context) error {
		answer, err := w.ask(ctx, from, fmt.Sprintf("echo-%d", pod), url)
		if err == nil && !strings.HasPrefix(answer.Source, source.String()) {
			err = fmt.Errorf("it saw %s", answer.Source)
		}
		return err
	})
}
