package property

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// Remove deletes the properties that Meshway wrote, whichever gateway did. No
// Writer may run any more.
func Remove(ctx context.Context, client dynamic.Interface) error {
	resource, have, err := find(ctx, client)
	if errors.Is(err, errMissing) {
		return nil // and so are all its objects
	}
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names() {
		object := have[name]
		if object == nil || object.GetLabels()[ManagedByLabel] != ManagedBy {
			continue
		}
		err := client.Resource(resource).Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(object.GetUID()))})
		if err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete ClusterProperty %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}
