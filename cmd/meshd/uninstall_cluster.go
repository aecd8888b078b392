package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/agent/kube/property"
)

// retiredTimeout is how long the agents have to leave the federation and to
// clean up their nodes; the chart's Job has more.
const retiredTimeout = 2 * time.Minute

// uninstallCluster is the pre-delete hook of the chart. The agents see its Job
// and retire; then it deletes what they wrote into the API, while the release
// still has the right to.
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
	fmt.Fprintln(w, "waiting for the agents to leave the federation and to clean up their nodes")
	waiting, cancel := context.WithTimeout(ctx, retiredTimeout)
	defer cancel()
	if err := kube.AwaitAgentsStopped(waiting, clients.Kubernetes, namespace, daemonset); err != nil {
		return err
	}
	if err := removeObjects(ctx, clients, namespace); err != nil {
		return err
	}
	fmt.Fprintln(w, "removed what Meshway wrote into the API; custom resource definitions and ServiceExports stay")
	return nil
}

func removeObjects(ctx context.Context, clients kube.Clients, namespace string) error {
	return errors.Join(
		controller.Remove(ctx, clients.Kubernetes, clients.MCS),
		controller.RemoveLease(ctx, clients.Kubernetes, namespace),
		inventory.Remove(ctx, clients.Dynamic),
		meshnode.Remove(ctx, clients.Dynamic),
		property.Remove(ctx, clients.Dynamic),
	)
}
