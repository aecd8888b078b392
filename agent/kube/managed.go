package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"

	"github.com/meshway/meshway/agent/wake"
)

// ManagedByLabel carries ManagedBy on what Meshway writes into its cluster, and
// may delete.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "meshway"
)

// The pace of those who write objects of our own kinds.
const (
	WriteTimeout    = 10 * time.Second // bounds one write to the API server
	RetryInterval   = 2 * time.Second  // after a write that failed
	RecheckInterval = 30 * time.Second // heals what no event told of, and finds a CRD that comes later
)

// NewObjects returns a source of the objects of a kind: of the one with that
// name, or of all with an empty one.
func NewObjects(client dynamic.Interface, kind schema.GroupVersionResource, name string, reader wake.One) (*Source, error) {
	named := func(o *metav1.ListOptions) {
		if name != "" {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(client, kind, metav1.NamespaceAll, 0, nil, named).Informer()
	return NewSource(informer, nil, reader)
}

// RemoveManaged deletes the objects of a kind that Meshway wrote. Who writes
// them may not run any more.
func RemoveManaged(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource) error {
	list, err := client.Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy})
	if apierrors.IsNotFound(err) {
		return nil // the CRD is gone, and all its objects with it
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	var failed []error
	for _, object := range list.Items {
		err := client.Resource(kind).Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(object.GetUID()))})
		if err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete %s %s: %w", kind.Resource, object.GetName(), err))
		}
	}
	return errors.Join(failed...)
}

// LogOnce is what goes wrong at each try, and is told once.
type LogOnce struct{ last string }

// IsNew tells whether err is there and another one than that of the last call.
func (c *LogOnce) IsNew(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	known := text == c.last
	c.last = text
	return text != "" && !known
}
