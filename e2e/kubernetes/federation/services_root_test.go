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

func (tb *testbed) testServices(t *testing.T, all map[*cluster.Cluster]workloads) {
	first := tb.clusters[0]
	require.NoError(t, tb.CreateShop(within(t, timeout)))
	require.NoError(t, tb.EnableDNS(within(t, 2*timeout)))
	require.NoError(t, tb.Export(within(t, timeout)))
	for _, c := range tb.clusters {
		for _, from := range all[c].clients {
			if !from.usesDNS {
				continue
			}
			for _, family := range []string{"-4", "-6"} {
				tb.await(t, from.name+" reaches the service by name with curl "+family, func(ctx context.Context) error {
					return from.checkServers(ctx, family+" "+install.ShopURL, "web")
				})
			}
		}
	}
	tb.await(t, "the export is valid", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "-n", "shop", "get", "serviceexport", "web", "-o",
			`jsonpath={.status.conditions[?(@.type=="Valid")].status}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("the condition Valid is %q", out)
		}
		return err
	})

	for _, c := range tb.clusters {
		assert.Regexp(t, `web +shop +`+first.Name()+` +[1-9]\d*/\d+ ready`, tb.exec(t, tb.meshctl, "services", "--context", c.Name()), c.Name())
	}

	t.Run("an unready endpoint is removed from the other cluster", func(t *testing.T) { tb.testUnready(t) })
	t.Run("deleting an export removes the import", func(t *testing.T) {
		other := tb.clusters[1]
		tb.exec(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "serviceexport", "web")
		tb.await(t, "the import is removed", func(ctx context.Context) error {
			out, err := other.Kubectl(ctx, "-n", "shop", "get", "serviceimports,endpointslices", "-o", "name")
			if err == nil && strings.Contains(out, "/") {
				err = fmt.Errorf("the cluster has %s", out)
			}
			return err
		})
	})
}

// testUnready deletes the only server and waits until the other cluster has no
// endpoint.
func (tb *testbed) testUnready(t *testing.T) {
	first, other := tb.clusters[0], tb.clusters[1]
	tb.exec(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "pod", "web", "--now")
	tb.await(t, "there is no endpoint", func(ctx context.Context) error {
		out, err := other.Kubectl(ctx, "-n", "shop", "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("the endpoints are %s", out)
		}
		return err
	})
}

// testLeave runs meshctl leave on the last cluster, which has imported a service
// of the first one.
func (tb *testbed) testLeave(t *testing.T) {
	first, last := tb.clusters[0], tb.clusters[len(tb.clusters)-1]
	imported := func(ctx context.Context) (string, error) {
		return last.Kubectl(ctx, "get", "serviceimports,datacenters", "-A", "-o", "name")
	}
	reasons := func(ctx context.Context) (string, error) {
		return last.Kubectl(ctx, "get", "serviceimports,datacenters", "-A", "-o",
			`jsonpath={range .items[*]}{.kind}{" "}{.status.conditions[?(@.type=="Ready")].reason}{"\n"}{end}`)
	}
	require.NoError(t, tb.StartShop(within(t, timeout)))
	require.NoError(t, tb.Export(within(t, timeout)))
	tb.await(t, "the service is imported", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && !strings.Contains(out, "serviceimport") {
			err = fmt.Errorf("the cluster has only %s", out)
		}
		return err
	})
	tb.exec(t, tb.meshctl, "leave", "--yes", "--context", last.Name())
	tb.await(t, "all imports are removed from "+last.Name()+", which guards the datacenters", func(ctx context.Context) error {
		out, err := reasons(ctx)
		if err == nil && strings.Count(out, "Datacenter Departed\n") != len(tb.clusters) || strings.Contains(out, "ServiceImport") {
			err = fmt.Errorf("the cluster has %s", out)
		}
		return err
	})
	for _, node := range last.Nodes() {
		tb.await(t, "node "+node.Name+" drops packets to "+first.Name(), func(ctx context.Context) error {
			out, err := node.Exec(ctx, "nft", "list", "table", "inet", "meshway")
			if pods := first.Options().PodCIDRs[0].Addr().String() + "/"; err == nil && !strings.Contains(out, pods) {
				err = fmt.Errorf("the firewall does not have %s: %s", pods, out)
			}
			return err
		})
	}
	tb.exec(t, tb.meshctl, "leave", "--yes", "--release", "--context", last.Name())
	for _, node := range last.Nodes() {
		tb.await(t, "node "+node.Name+" has no firewall of Meshway", func(ctx context.Context) error {
			if out, err := node.Exec(ctx, "nft", "list", "table", "inet", "meshway"); err == nil {
				return fmt.Errorf("the node has %s", out)
			}
			return nil
		})
	}
	tb.await(t, "all imports and datacenters are removed from "+last.Name(), func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("the cluster has %s", out)
		}
		return err
	})
	tb.await(t, "the datacenter is removed from "+first.Name(), func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "get", "datacenters", "-o", "name")
		if err == nil && strings.Contains(out, last.Name()) {
			err = fmt.Errorf("the cluster has %s", out)
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

// testRollingUpdate replaces every agent of two clusters while a client sends
// requests.
func (tb *testbed) testRollingUpdate(t *testing.T, all map[*cluster.Cluster]workloads) {
	first, other := tb.clusters[0], tb.clusters[1]
	stop := tb.startRequests(t, all[other].clients[0], all[first].targets[0].url)
	for _, c := range []*cluster.Cluster{first, other} {
		tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "restart", "daemonset/meshway", "daemonset/meshway-node")
		require.NoError(t, tb.AwaitRollout(within(t, 2*timeout), c))
	}
	assert.Empty(t, stop(), "a rolling update of the agents loses no request")
}
