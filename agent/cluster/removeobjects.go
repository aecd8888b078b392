package cluster

import (
	"context"
	"errors"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/agent/kube/property"
)

// RemoveObjects deletes what the agents wrote into the API of the cluster. It is
// idempotent. Custom resource definitions and ServiceExports stay.
func RemoveObjects(ctx context.Context, clients kube.Clients, namespace string) error {
	return errors.Join(
		controller.Remove(ctx, clients.Kubernetes, clients.MCS),
		controller.RemoveLease(ctx, clients.Kubernetes, namespace),
		inventory.Remove(ctx, clients.Dynamic),
		meshnode.Remove(ctx, clients.Dynamic),
		property.Remove(ctx, clients.Dynamic),
	)
}
