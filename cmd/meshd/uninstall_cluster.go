package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/cluster"
	"github.com/meshway/meshway/agent/kube"
)

const (
	// agentsTimeout is how long the agents have to leave the federation and to clean
	// up their nodes.
	agentsTimeout = 2 * time.Minute
	// uninstallDeadline is that of the chart's Job. It is less than the default timeout
	// of helm, 5 minutes.
	uninstallDeadline = 4 * time.Minute
)

// uninstallCluster is the pre-delete hook of the chart. The agents find its Job
// and clean up their nodes; then it deletes what they wrote into the API, while
// the release still has the right to.
func uninstallCluster(ctx context.Context, w io.Writer) error {
	daemonset := os.Getenv(daemonSetVariable)
	if daemonset == "" {
		return fmt.Errorf("meshd uninstall --cluster runs in the chart's Job: %s is not set", daemonSetVariable)
	}
	clients, err := kube.Connect("", "meshd-uninstall/"+build.Current().Version, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	namespace := ownNamespace()
	if err := kube.ExtendUninstallation(ctx, clients.Kubernetes, namespace, daemonset, uninstallDeadline); err != nil {
		fmt.Fprintln(w, err) // roles that the chart did not create may lack the permission; the agents may be fast
	}
	fmt.Fprintln(w, "waiting for the agents to leave the federation and to clean up their nodes")
	waiting, cancel := context.WithTimeout(ctx, agentsTimeout)
	defer cancel()
	if err := kube.AwaitAgentsStopped(waiting, clients.Kubernetes, namespace, daemonset); err != nil {
		return err
	}
	if err := cluster.RemoveObjects(ctx, clients, namespace); err != nil {
		return err
	}
	fmt.Fprintln(w, "removed what Meshway wrote into the API; custom resource definitions and ServiceExports stay")
	return nil
}
