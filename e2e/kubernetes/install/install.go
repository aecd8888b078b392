//go:build linux

package install

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"golang.org/x/sync/errgroup"
)

// Namespace is the namespace of the chart's release.
const Namespace = "meshway-system"

// timeout bounds each step.
const timeout = 90 * time.Second

// Federation is a set of clusters on which Meshway is installed.
type Federation struct {
	Clusters []*cluster.Cluster
	Meshctl  string // the program's file
	lab      *cluster.Lab
}

// Clusters starts clusters and loads the agent's image on their nodes. It
// creates files in dir, which must exist as long as the federation is in use.
func Clusters(ctx context.Context, lab *cluster.Lab, dir string, options ...cluster.Options) (*Federation, error) {
	archive := filepath.Join(dir, "meshway.tar")
	if err := chart.WriteImage(ctx, dir, archive); err != nil {
		return nil, err
	}
	f := &Federation{
		Clusters: make([]*cluster.Cluster, len(options)),
		Meshctl:  filepath.Join(dir, "meshctl"), // built by chart.WriteImage
		lab:      lab,
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range options {
		group.Go(func() (err error) {
			if f.Clusters[i], err = lab.New(ctx, options[i]); err != nil {
				return err
			}
			return f.Clusters[i].LoadImage(ctx, archive)
		})
	}
	return f, group.Wait()
}

// Install installs the chart on all clusters and federates them. The first node
// of each cluster is its gateway.
func (f *Federation) Install(ctx context.Context) error {
	for _, c := range f.Clusters {
		if err := f.InstallChart(ctx, c); err != nil {
			return err
		}
	}
	return f.federate(ctx)
}

// InstallChart labels the first node of a cluster as its gateway and installs
// the chart, with extra arguments of helm install.
func (f *Federation) InstallChart(ctx context.Context, c *cluster.Cluster, extra ...string) error {
	arguments, err := ChartArguments(ctx, c)
	if err != nil {
		return err
	}
	return f.run(ctx,
		[]string{"kubectl", "--context", c.Name(), "label", "node", c.Nodes()[0].Name, "meshway.io/gateway=true"},
		slices.Concat([]string{"helm", "install"}, arguments, []string{"--create-namespace"}, extra))
}

// ChartArguments returns the arguments of helm install and helm upgrade for a
// cluster: release, chart, namespace and values.
func ChartArguments(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	root, err := chart.Root(ctx)
	if err != nil {
		return nil, err
	}
	arguments := []string{
		"meshway", filepath.Join(root, "deploy/chart/meshway"), "--kube-context", c.Name(), "-n", Namespace,
		"-f", filepath.Join(root, "e2e/kubernetes/chart/lab.yaml"), "--set", "datacenter.name=" + c.Name(),
	}
	if c.Options().OwnIPAM { // the API has no pod CIDRs to discover
		for i, pods := range c.Options().PodCIDRs {
			arguments = append(arguments, "--set", fmt.Sprintf("discovery.podCIDRs[%d]=%s", i, pods))
		}
	}
	return arguments, nil
}

func (f *Federation) federate(ctx context.Context) error {
	first := f.Clusters[0].Name()
	for i, c := range f.Clusters {
		if err := f.AwaitAgent(ctx, c); err != nil {
			return err
		}
		command := []string{f.Meshctl, "init", "--context", first}
		if i > 0 {
			command = []string{f.Meshctl, "join", "--context", c.Name(), "--via", first}
		}
		if err := f.run(ctx, command); err != nil {
			return err
		}
	}
	for _, c := range f.Clusters {
		if err := f.AwaitRollout(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// AwaitRollout waits until the agents on all nodes of a cluster are up to date and
// ready.
func (f *Federation) AwaitRollout(ctx context.Context, c *cluster.Cluster) error {
	var commands [][]string
	for _, set := range []string{"daemonset/meshway", "daemonset/meshway-node"} {
		commands = append(commands, []string{"kubectl", "--context", c.Name(), "-n", Namespace, "rollout", "status", set, "--timeout=90s"})
	}
	return f.run(ctx, commands...)
}

// AwaitAgent waits until an agent of the cluster answers meshctl.
func (f *Federation) AwaitAgent(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return harness.Wait(ctx, "the agent of "+c.Name()+" answers", func(ctx context.Context) error {
		_, err := f.lab.Exec(ctx, f.Meshctl, "--context", c.Name(), "version")
		return err
	})
}

// run runs commands on the console, each with a timeout of its own.
func (f *Federation) run(ctx context.Context, commands ...[]string) error {
	for _, argv := range commands {
		commandCtx, cancel := context.WithTimeout(ctx, 2*timeout)
		_, err := f.lab.Exec(commandCtx, argv...)
		cancel()
		if err != nil {
			return fmt.Errorf("run %s: %w", argv, err)
		}
	}
	return nil
}
