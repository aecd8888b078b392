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
	patience  = 90 * time.Second
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

// showRoutes prints what is Meshway's on a node. A table without routes is an
// error of ip's.
const showRoutes = "ip -4 route show table 7117 2>/dev/null; ip -6 route show table 7117 2>/dev/null; ip nexthop show proto 157"

// world is some clusters with Meshway on them.
type world struct {
	*install.Federation
	lab      *cluster.Lab
	clusters []*cluster.Cluster
	meshctl  string
}

// newWorld brings clusters up, installs the chart and federates them. Node 1
// of each is the gateway, node 2 only routes.
func newWorld(t *testing.T, change ...func(n int, o *cluster.Options)) *world {
	t.Helper()
	w := newClusters(t, number(t), change...)
	require.NoError(t, w.Install(within(t, 5*time.Minute)))
	return w
}

// newClusters brings clusters up that have nothing of Meshway but its image.
func newClusters(t *testing.T, number int, change ...func(n int, o *cluster.Options)) *world {
	t.Helper()
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test needs root")
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
	w := &world{Federation: f, lab: lab, clusters: f.Clusters, meshctl: f.Meshctl}
	t.Cleanup(func() {
		if t.Failed() {
			w.explain(t)
		}
	})
	return w
}

// number is how many clusters there are: two, or as many as CLUSTERS says.
func number(t *testing.T) int {
	text := os.Getenv("CLUSTERS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "CLUSTERS")
	require.GreaterOrEqual(t, n, 2, "CLUSTERS")
	return n
}

// run runs a command of the operator's.
func (w *world) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := w.lab.Exec(within(t, 2*patience), argv...)
	require.NoError(t, err, "%s", argv)
	return out
}

func (w *world) await(t *testing.T, what string, condition func(context.Context) error) {
	t.Helper()
	w.awaitFor(t, patience, what, condition)
}

func (w *world) awaitFor(t *testing.T, limit time.Duration, what string, condition func(context.Context) error) {
	t.Helper()
	require.NoError(t, harness.Wait(within(t, limit), what, condition))
}

// explain prints what the agents say.
func (w *world) explain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range w.clusters {
		for _, argv := range [][]string{
			{"kubectl", "--context", c.Name(), "get", "pods", "-A", "-o", "wide"},
			{"kubectl", "--context", c.Name(), "-n", namespace, "logs", "-l", "app.kubernetes.io/component=agent", "--tail=40", "--prefix"},
			{"kubectl", "--context", c.Name(), "get", "datacenters", "-o", "wide"},
			{w.meshctl, "--context", c.Name(), "status"},
		} {
			out, err := w.lab.Exec(ctx, argv...)
			t.Logf("%s (%v)\n%s", argv, err, out)
		}
		for _, node := range c.Nodes() {
			out, err := node.Exec(ctx, "sh", "-c", showRoutes)
			t.Logf("routes of %s (%v)\n%s", node.Name, err, out)
		}
	}
}

// seen is what the echo server answers.
type seen struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}
