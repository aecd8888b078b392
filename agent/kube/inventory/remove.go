package inventory

import (
	"context"

	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube"
)

// Remove deletes the Datacenter objects that Writers created. No Writer may run.
func Remove(ctx context.Context, client dynamic.Interface) error {
	return kube.RemoveManaged(ctx, client, Kind().Resource())
}
