package inventory

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// Remove deletes the Datacenter objects that Writers made. None may run any more.
func Remove(ctx context.Context, client dynamic.Interface) error {
	list, err := client.Resource(Resource()).List(ctx, metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy})
	if apierrors.IsNotFound(err) {
		return nil // the CRD is gone, and all its objects with it
	}
	if err != nil {
		return fmt.Errorf("list datacenters: %w", err)
	}
	var failed []error
	for _, dc := range list.Items {
		err := client.Resource(Resource()).Delete(ctx, dc.GetName(), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(dc.GetUID()))})
		if err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete datacenter %s: %w", dc.GetName(), err))
		}
	}
	return errors.Join(failed...)
}
