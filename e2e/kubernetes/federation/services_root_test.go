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

func (w *world) testServices(t *testing.T, sites map[*cluster.Cluster]site) {
	first := w.clusters[0]
	require.NoError(t, w.OpenShop(within(t, patience)))
	require.NoError(t, w.EnableDNS(within(t, 2*patience)))
	require.NoError(t, w.Export(within(t, patience)))
	for _, c := range w.clusters {
		for _, p := range sites[c].places {
			if !p.names {
				continue
			}
			for _, family := range []string{"-4", "-6"} {
				w.await(t, p.name+" uses the service by name with curl "+family, func(ctx context.Context) error {
					return p.served(ctx, family+" "+install.ShopURL, "web")
				})
			}
		}
	}
	w.await(t, "the export is valid", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "-n", "shop", "get", "serviceexport", "web", "-o",
			`jsonpath={.status.conditions[?(@.type=="Valid")].status}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("Valid is %q", out)
		}
		return err
	})

	t.Run("an unready endpoint leaves the other cluster", func(t *testing.T) { w.testUnready(t) })
	t.Run("unexporting takes the name away", func(t *testing.T) {
		other := w.clusters[1]
		w.run(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "serviceexport", "web")
		w.await(t, "the import is gone", func(ctx context.Context) error {
			out, err := other.Kubectl(ctx, "-n", "shop", "get", "serviceimports,endpointslices", "-o", "name")
			if err == nil && strings.Contains(out, "/") {
				err = fmt.Errorf("there is %s", out)
			}
			return err
		})
	})
}

// testUnready deletes the only server and looks at the slices elsewhere.
func (w *world) testUnready(t *testing.T) {
	first, other := w.clusters[0], w.clusters[1]
	w.run(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "pod", "web", "--now")
	w.await(t, "no endpoint is served", func(ctx context.Context) error {
		out, err := other.Kubectl(ctx, "-n", "shop", "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
}

// testLeave takes the last cluster out, with an export of the first imported there.
func (w *world) testLeave(t *testing.T) {
	first, last := w.clusters[0], w.clusters[len(w.clusters)-1]
	imported := func(ctx context.Context) (string, error) {
		return last.Kubectl(ctx, "get", "serviceimports,datacenters", "-A", "-o", "name")
	}
	require.NoError(t, w.StartShop(within(t, patience)))
	require.NoError(t, w.Export(within(t, patience)))
	w.await(t, "the import is there", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && !strings.Contains(out, "serviceimport") {
			err = fmt.Errorf("there is only %s", out)
		}
		return err
	})
	w.run(t, w.meshctl, "leave", "--yes", "--context", last.Name())
	w.await(t, "nothing of the federation is left", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
	w.await(t, "the others know", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "get", "datacenters", "-o", "name")
		if err == nil && strings.Contains(out, last.Name()) {
			err = fmt.Errorf("there is still %s", out)
		}
		return err
	})
}

func (w *world) testInventory(t *testing.T) {
	for _, c := range w.clusters {
		for _, of := range w.clusters {
			w.run(t, "kubectl", "--context", c.Name(), "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=60s")
		}
	}
	out := w.run(t, "kubectl", "--context", "east", "get", "datacenters")
	for _, c := range w.clusters {
		assert.Contains(t, out, c.Name())
	}
}

// testAgentRestart replaces every agent under a request each 50 ms.
func (w *world) testAgentRestart(t *testing.T, sites map[*cluster.Cluster]site) {
	first, other := w.clusters[0], w.clusters[1]
	stop := w.load(t, sites[other].places[0], sites[first].targets[0].url)
	for _, c := range []*cluster.Cluster{first, other} {
		w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "restart", "daemonset/meshway")
		w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	}
	assert.Empty(t, stop(), "a rolling update of the agents loses no request")
}
