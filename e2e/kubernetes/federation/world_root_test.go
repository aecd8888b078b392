//go:build linux && root

package federation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/images"
)

const (
	namespace = "meshway-system"
	patience  = 90 * time.Second
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

// world is some clusters with Meshway on them.
type world struct {
	lab      *cluster.Lab
	clusters []*cluster.Cluster
	meshctl  string
}

// newWorld brings clusters up, installs the chart and federates them. Node 1
// of each is the gateway, node 2 only routes.
func newWorld(t *testing.T, change ...func(*cluster.Options)) *world {
	t.Helper()
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test needs root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	programs := t.TempDir()
	w := &world{lab: lab, meshctl: filepath.Join(programs, "meshctl")}
	image, err := chart.Image(t.Context(), chart.AgentImage, programs)
	require.NoError(t, err)
	archive := filepath.Join(programs, "meshway.tar")
	require.NoError(t, images.WriteFile(archive, image))

	w.clusters = make([]*cluster.Cluster, number(t))
	group, ctx := errgroup.WithContext(within(t, 5*time.Minute))
	for i := range w.clusters {
		options := cluster.Numbered(i)
		for _, c := range change {
			c(&options)
		}
		group.Go(func() (err error) {
			if w.clusters[i], err = lab.New(ctx, options); err != nil {
				return err
			}
			return w.clusters[i].LoadImage(ctx, archive)
		})
	}
	require.NoError(t, group.Wait())
	t.Cleanup(func() {
		if t.Failed() {
			w.explain(t)
		}
	})
	for _, c := range w.clusters {
		w.install(t, c)
	}
	w.federate(t)
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

func (w *world) install(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	w.run(t, "kubectl", "--context", c.Name(), "label", "node", c.Nodes()[0].Name, "meshway.io/gateway=true")
	w.run(t, "helm", "install", "meshway", absolute(t, "../../../deploy/chart/meshway"), "--kube-context", c.Name(),
		"-n", namespace, "--create-namespace", "-f", absolute(t, "../chart/lab.yaml"), "--set", "datacenter.name="+c.Name())
}

func (w *world) federate(t *testing.T) {
	t.Helper()
	first := w.clusters[0]
	w.await(t, first.Name()+" is ready to found", func(ctx context.Context) error {
		_, err := w.lab.Exec(ctx, w.meshctl, "--context", first.Name(), "version")
		return err
	})
	w.run(t, w.meshctl, "init", "--context", first.Name())
	for _, c := range w.clusters[1:] {
		w.await(t, c.Name()+" is ready to join", func(ctx context.Context) error {
			_, err := w.lab.Exec(ctx, w.meshctl, "--context", c.Name(), "version")
			return err
		})
		w.run(t, w.meshctl, "join", "--context", c.Name(), "--via", first.Name())
	}
	for _, c := range w.clusters {
		w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	}
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
	require.NoError(t, harness.Wait(within(t, patience), what, condition))
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
	}
}

// seen is what the echo server answers.
type seen struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

// ask sends a request from a pod and returns who answered and what it saw.
func (w *world) ask(ctx context.Context, c *cluster.Cluster, pod, url string) (seen, error) {
	out, err := c.Kubectl(ctx, "exec", pod, "--", "curl", "-sS", "--max-time", "3", url)
	if err != nil {
		return seen{}, err
	}
	var answer seen
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return seen{}, fmt.Errorf("%w: %s", err, out)
	}
	return answer, nil
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}
