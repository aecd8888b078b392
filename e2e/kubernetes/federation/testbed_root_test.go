//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

const (
	namespace = install.Namespace

	// timeout bounds waits for events without a documented deadline.
	timeout = 90 * time.Second
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

// showRoutes prints Meshway's routes and nexthops on a node. The command ip fails
// for a table without routes.
const showRoutes = "ip -4 route show table 7117 2>/dev/null; ip -6 route show table 7117 2>/dev/null; ip nexthop show proto 157"

// testbed is a set of clusters on which Meshway is installed.
type testbed struct {
	*install.Federation
	lab      *cluster.Lab
	clusters []*cluster.Cluster
	meshctl  string
}

// newTestbed starts clusters, installs the chart and federates them. The first
// node of each cluster is its gateway.
func newTestbed(t *testing.T, change ...func(n int, o *cluster.Options)) *testbed {
	t.Helper()
	tb := newClusters(t, clusterCount(t), change...)
	require.NoError(t, tb.Install(within(t, 5*time.Minute)))
	return tb
}

// newClusters starts clusters on which Meshway's image is loaded, but Meshway is
// not installed.
func newClusters(t *testing.T, number int, change ...func(n int, o *cluster.Options)) *testbed {
	t.Helper()
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	options := make([]cluster.Options, number)
	for i := range options {
		options[i] = cluster.Numbered(i)
		for _, c := range change {
			c(i, &options[i])
		}
	}
	f, err := install.Clusters(within(t, 5*time.Minute), lab, t.TempDir(), options...)
	require.NoError(t, err)
	tb := &testbed{Federation: f, lab: lab, clusters: f.Clusters, meshctl: f.Meshctl}
	t.Cleanup(func() {
		if t.Failed() {
			tb.logState(t)
		}
	})
	return tb
}

// clusterCount returns the number in the environment variable CLUSTERS, by
// default 2.
func clusterCount(t *testing.T) int {
	text := os.Getenv("CLUSTERS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "CLUSTERS")
	require.GreaterOrEqual(t, n, 2, "CLUSTERS")
	return n
}

// exec runs a command on the console and returns its output.
func (tb *testbed) exec(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := tb.lab.Exec(within(t, 2*timeout), argv...)
	require.NoError(t, err, "%s", argv)
	return out
}

func (tb *testbed) await(t *testing.T, what string, condition func(context.Context) error) {
	t.Helper()
	tb.awaitFor(t, timeout, what, condition)
}

func (tb *testbed) awaitFor(t *testing.T, limit time.Duration, what string, condition func(context.Context) error) {
	t.Helper()
	require.NoError(t, harness.Wait(within(t, limit), what, condition))
}

// logState logs the state of the clusters and the logs of their agents.
func (tb *testbed) logState(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for _, c := range tb.clusters {
		for _, argv := range [][]string{
			{"kubectl", "--context", c.Name(), "get", "pods", "-A", "-o", "wide"},
			{"kubectl", "--context", c.Name(), "-n", namespace, "logs", "-l", "meshway.io/agent", "--tail=40", "--prefix"},
			{"kubectl", "--context", c.Name(), "get", "datacenters", "-o", "wide"},
			{tb.meshctl, "--context", c.Name(), "status", "-o", "wide"},
		} {
			out, err := tb.lab.Exec(ctx, argv...)
			t.Logf("%s (%v)\n%s", argv, err, out)
		}
		for _, node := range c.Nodes() {
			out, err := node.Exec(ctx, "sh", "-c", showRoutes)
			t.Logf("routes of %s (%v)\n%s", node.Name, err, out)
		}
	}
}

// echoAnswer is the response of the echo server.
type echoAnswer struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}
