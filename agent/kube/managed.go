package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// ManagedByLabel has the value ManagedBy on the objects that Meshway creates in its
// cluster. Meshway deletes no others.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "meshway"
)

// The timing of the reconcilers that write to the API server.
const (
	writeTimeout    = 10 * time.Second // of one request to the API server
	RetryInterval   = 2 * time.Second  // after a request failed
	RecheckInterval = 30 * time.Second // corrects changes without an event, and finds a CRD that was installed later
)

// NextPass returns the delay until the next pass of a reconciler whose last pass
// returned err.
func NextPass(err error) time.Duration {
	if err != nil {
		return RetryInterval
	}
	return RecheckInterval
}

// RemoveManaged deletes the objects of a resource that Meshway created. No
// reconciler that creates them may run.
func RemoveManaged(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource) error {
	list, err := client.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy})
	if apierrors.IsNotFound(err) {
		return nil // there is no CRD, hence no object
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	var failed []error
	for _, object := range list.Items {
		err := client.Resource(resource).Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(object.GetUID()))})
		if err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete %s %s: %w", resource.Resource, object.GetName(), err))
		}
	}
	return errors.Join(failed...)
}
