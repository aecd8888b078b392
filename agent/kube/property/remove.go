package property

import (
	"context"
	"errors"

	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube"
)

// Remove deletes the properties that Meshway created, of all gateways. No Writer may
// run.
func Remove(ctx context.Context, client dynamic.Interface) error {
	var failed []error
	for _, version := range resources() {
		failed = append(failed, kube.RemoveManaged(ctx, client, version))
	}
	return errors.Join(failed...)
}
