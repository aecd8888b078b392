//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// traceCommands returns commands that print nothing on a node without Meshway.
// Empty directories are allowed: they were mounts of the agent's container.
func traceCommands() []string {
	return []string{
		"ip -o link | grep mesh",
		"ip rule | grep 7117; ip -6 rule | grep 7117",
		"ip route show table 7117; ip -6 route show table 7117",
		"ip nexthop show | grep 'proto 157'",
		"nft list tables | grep meshway",
		"find /var/lib/meshway /run/meshway -mindepth 1",
	}
}

func (tb *testbed) traces(ctx context.Context, t *testing.T, node *cluster.Node) string {
	t.Helper()
	out, err := node.Exec(ctx, "sh", "-c", "("+strings.Join(traceCommands(), "; ")+") 2>&1 | cat")
	require.NoError(t, err)
	return strings.TrimSpace(out)
}

// testUninstall joins the last cluster, waits for an import from the first one,
// uninstalls the chart, and installs it again.
func (tb *testbed) testUninstall(t *testing.T) {
	first, last := tb.clusters[0], tb.clusters[len(tb.clusters)-1]
	tb.exec(t, tb.meshctl, "join", "--context", last.Name(), "--via", first.Name())
	tb.await(t, "the service is imported", func(ctx context.Context) error {
		out, err := last.Kubectl(ctx, "get", "serviceimports", "-A", "-o", "name")
		if err == nil && !strings.Contains(out, "serviceimport") {
			err = fmt.Errorf("the imports are %q", out)
		}
		return err
	})
	tb.testDeletingAgentsChangesNothing(t, last)

	tb.exec(t, "helm", "uninstall", "meshway", "--kube-context", last.Name(), "-n", namespace, "--wait")
	tb.awaitNothingLeft(t, last, first)

	require.NoError(t, tb.InstallChart(within(t, timeout), last))
	require.NoError(t, tb.AwaitAgent(t.Context(), last))
	tb.joinWithNewCA(t, last, first)
	tb.exec(t, "kubectl", "--context", last.Name(), "wait", "datacenter/"+first.Name(), "--for=create", "--timeout=60s")
	tb.exec(t, "kubectl", "--context", last.Name(), "wait", "datacenter/"+first.Name(), "--for=condition=Ready", "--timeout=60s")
}

// joinWithNewCA joins a cluster that was uninstalled. Its CA is new, so that it is
// refused until the operators of the other clusters accept it.
func (tb *testbed) joinWithNewCA(t *testing.T, c, via *cluster.Cluster) {
	t.Helper()
	join := []string{tb.meshctl, "join", "--context", c.Name(), "--via", via.Name()}
	_, err := tb.lab.Exec(within(t, timeout), join...)
	require.Error(t, err, "the other clusters remember the former CA")
	fingerprint := regexp.MustCompile(`--fingerprint ([0-9a-f]{64})`).FindStringSubmatch(err.Error())
	require.NotEmpty(t, fingerprint, "the refusal names the new CA: %s", err)
	for _, other := range tb.clusters {
		if other != c {
			tb.exec(t, tb.meshctl, "trust", "accept", c.Name(), "--fingerprint", fingerprint[1], "--context", other.Name())
		}
	}
	tb.exec(t, join...)
}

// awaitNothingLeft waits until a cluster has no objects of Meshway, asserts that
// its nodes have no traces, and waits until another cluster has removed the
// datacenter.
func (tb *testbed) awaitNothingLeft(t *testing.T, c, other *cluster.Cluster) {
	t.Helper()
	tb.await(t, "all objects of Meshway are deleted", func(ctx context.Context) error { return remainingObjects(ctx, c) })
	for _, node := range c.Nodes() {
		assert.Empty(t, tb.traces(within(t, timeout), t, node), node.Name)
	}
	tb.await(t, "the datacenter is removed from "+other.Name(), func(ctx context.Context) error {
		out, err := other.Kubectl(ctx, "get", "datacenters", "-o", "name")
		if err == nil && strings.Contains(out, c.Name()) {
			err = fmt.Errorf("the cluster has %s", out)
		}
		return err
	})
}

// testDeletingAgentsChangesNothing deletes the agents and their DaemonSets, as in a
// repair. The datacenter stays a member, and its nodes keep their routes.
func (tb *testbed) testDeletingAgentsChangesNothing(t *testing.T, c *cluster.Cluster) {
	for _, node := range c.Nodes() { // each agent writes routes on its own, after the join
		tb.await(t, node.Name+" has routes", func(ctx context.Context) error {
			if found := tb.traces(ctx, t, node); !strings.Contains(found, "proto 157") {
				return fmt.Errorf("the node has %s", found)
			}
			return nil
		})
	}
	tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "delete", "daemonset", "meshway", "meshway-node", "--cascade=foreground")
	for _, node := range c.Nodes() {
		found := tb.traces(within(t, timeout), t, node)
		assert.Contains(t, found, "proto 157", node.Name)
		assert.Contains(t, found, "meshway", node.Name)
	}
	arguments, err := install.ChartArguments(t.Context(), c)
	require.NoError(t, err)
	tb.exec(t, append([]string{"helm", "upgrade"}, arguments...)...)
	require.NoError(t, tb.AwaitRollout(within(t, 2*timeout), c))
	tb.exec(t, "kubectl", "--context", c.Name(), "wait", "datacenter/"+tb.clusters[0].Name(), "--for=condition=Ready", "--timeout=60s")
}

// remainingObjects returns an error that lists the objects of Meshway, without
// CRDs and objects that users created.
func remainingObjects(ctx context.Context, c *cluster.Cluster) error {
	var errs []error
	for _, args := range [][]string{
		{"get", "serviceimports,datacenters,meshnodes,clusterproperties", "-A"},
		{"get", "services,endpointslices,clusterroles,clusterrolebindings,roles,rolebindings", "-A", "-l", "app.kubernetes.io/managed-by=meshway"},
		{"get", "endpointslices", "-A", "-l", "endpointslice.kubernetes.io/managed-by=meshway"},
		{"get", "all,leases,secrets,roles,rolebindings", "-n", namespace},
		{"get", "clusterroles,clusterrolebindings,roles,rolebindings", "-A", "-l", "app.kubernetes.io/name=meshway"},
	} {
		out, err := c.Kubectl(ctx, append(args, "-o", "name")...)
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("kubectl %s: there are %s", args, out)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
