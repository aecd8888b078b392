//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

func (tb *testbed) testServices(t *testing.T, sites map[*cluster.Cluster]workloads) {
	first := tb.clusters[0]
	require.NoError(t, tb.CreateShop(within(t, timeout)))
	require.NoError(t, tb.EnableDNS(within(t, 2*timeout)))
	require.NoError(t, tb.Export(within(t, timeout)))
	for _, c := range tb.clusters {
		for _, p := range sites[c].clients {
			if !p.usesDNS {
				continue
			}
			for _, family := range []string{"-4", "-6"} {
				tb.await(t, p.name+" uses the service by name with curl "+family, func(ctx context.Context) error {
					return p.checkServers(ctx, family+" "+install.ShopURL, "web")
				})
			}
		}
	}
	tb.await(t, "the export is valid", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "-n", "shop", "get", "serviceexport", "web", "-o",
			`jsonpath={.status.conditions[?(@.type=="Valid")].status}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("Valid is %q", out)
		}
		return err
	})

	t.Run("an unready endpoint leaves the other cluster", func(t *testing.T) { tb.testUnready(t) })
	t.Run("unexporting takes the name away", func(t *testing.T) {
		other := tb.clusters[1]
		tb.exec(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "serviceexport", "web")
		tb.await(t, "the import is gone", func(ctx context.Context) error {
			out, err := other.Kubectl(ctx, "-n", "shop", "get", "serviceimports,endpointslices", "-o", "name")
			if err == nil && strings.Contains(out, "/") {
				err = fmt.Errorf("there is %s", out)
			}
			return err
		})
	})
}

// testUnready deletes the only server and looks at the slices elsewhere.
func (tb *testbed) testUnready(t *testing.T) {
	first, other := tb.clusters[0], tb.clusters[1]
	tb.exec(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "pod", "web", "--now")
	tb.await(t, "no endpoint is served", func(ctx context.Context) error {
		out, err := other.Kubectl(ctx, "-n", "shop", "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
}

// testLeave takes the last cluster out, with an export of the first imported there.
func (tb *testbed) testLeave(t *testing.T) {
	first, last := tb.clusters[0], tb.clusters[len(tb.clusters)-1]
	imported := func(ctx context.Context) (string, error) {
		return last.Kubectl(ctx, "get", "serviceimports,datacenters", "-A", "-o", "name")
	}
	require.NoError(t, tb.StartShop(within(t, timeout)))
	require.NoError(t, tb.Export(within(t, timeout)))
	tb.await(t, "the import is there", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && !strings.Contains(out, "serviceimport") {
			err = fmt.Errorf("there is only %s", out)
		}
		return err
	})
	tb.exec(t, tb.meshctl, "leave", "--yes", "--context", last.Name())
	tb.await(t, "nothing of the federation is left", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
	tb.await(t, "the others know", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "get", "datacenters", "-o", "name")
		if err == nil && strings.Contains(out, last.Name()) {
			err = fmt.Errorf("there is still %s", out)
		}
		return err
	})
}

func (tb *testbed) testInventory(t *testing.T) {
	for _, c := range tb.clusters {
		for _, of := range tb.clusters {
			tb.exec(t, "kubectl", "--context", c.Name(), "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=60s")
		}
	}
	out := tb.exec(t, "kubectl", "--context", "east", "get", "datacenters")
	for _, c := range tb.clusters {
		assert.Contains(t, out, c.Name())
	}
}

// testRollingUpdate replaces every agent under a request each 50 ms.
func (tb *testbed) testRollingUpdate(t *testing.T, sites map[*cluster.Cluster]workloads) {
	first, other := tb.clusters[0], tb.clusters[1]
	stop := tb.startRequests(t, sites[other].clients[0], sites[first].targets[0].url)
	for _, c := range []*cluster.Cluster{first, other} {
		tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "restart", "daemonset/meshway")
		tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	}
	assert.Empty(t, stop(), "a rolling update of the agents loses no request")
}
