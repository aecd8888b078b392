package kubetest

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube"
)

// Cluster is the API server of a cluster, in memory (see NewFake) or a real one.
type Cluster struct {
	kube.Clients
	Release Release // of the CRDs of the Multi-Cluster Services API
}

// NewNamespace creates a namespace with a unique name that starts with prefix. It is
// deleted at the end of the test.
func (c Cluster) NewNamespace(t testing.TB, prefix string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%x", prefix, time.Now().UnixNano())
	c.CreateNamespace(t, name)
	return name
}

// CreateNamespace creates a namespace. It is deleted at the end of the test.
func (c Cluster) CreateNamespace(t testing.TB, name string) {
	t.Helper()
	client := c.Kubernetes.CoreV1().Namespaces()
	_, err := client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) }) // the cluster may be closed
}

// AnnotateNamespace sets an annotation of a namespace.
func (c Cluster) AnnotateNamespace(ctx context.Context, name, key, value string) error {
	return annotate(ctx, c.Kubernetes.CoreV1().Namespaces(), name, key, value)
}

// LeaseHolder returns the holder of a Lease, empty if there is none.
func (c Cluster) LeaseHolder(t testing.TB, namespace, name string) string {
	t.Helper()
	lease, err := c.Kubernetes.CoordinationV1().Leases(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	require.NoError(t, err)
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// The methods below read and write objects of the Multi-Cluster Services API in the
// newest served version.

// Import returns a ServiceImport.
func (c Cluster) Import(ctx context.Context, namespace, name string) (*mcsv1.ServiceImport, error) {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceImports(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	alphaObject, err := c.MCS.MulticlusterV1alpha1().ServiceImports(namespace).Get(ctx, name, metav1.GetOptions{})
	return fromAlpha[mcsv1.ServiceImport](alphaObject, err)
}

// AnnotateImport sets an annotation of a ServiceImport.
func (c Cluster) AnnotateImport(ctx context.Context, namespace, name, key, value string) error {
	if c.Release == Newest {
		return annotate(ctx, c.MCS.MulticlusterV1beta1().ServiceImports(namespace), name, key, value)
	}
	return annotate(ctx, c.MCS.MulticlusterV1alpha1().ServiceImports(namespace), name, key, value)
}

// annotate repeats an update that another writer interferes with.
func annotate[T metav1.Object](ctx context.Context, client interface {
	Get(context.Context, string, metav1.GetOptions) (T, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
}, name, key, value string,
) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		annotations := maps.Clone(object.GetAnnotations())
		if annotations == nil {
			annotations = make(map[string]string)
		}
		annotations[key] = value
		object.SetAnnotations(annotations)
		_, err = client.Update(ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// DeleteImport deletes a ServiceImport.
func (c Cluster) DeleteImport(ctx context.Context, namespace, name string) error {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceImports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
	return c.MCS.MulticlusterV1alpha1().ServiceImports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// Export returns a ServiceExport.
func (c Cluster) Export(ctx context.Context, namespace, name string) (*mcsv1.ServiceExport, error) {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceExports(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	alphaObject, err := c.MCS.MulticlusterV1alpha1().ServiceExports(namespace).Get(ctx, name, metav1.GetOptions{})
	return fromAlpha[mcsv1.ServiceExport](alphaObject, err)
}

// CreateExport creates a ServiceExport.
func (c Cluster) CreateExport(ctx context.Context, e *mcsv1.ServiceExport) error {
	if c.Release == Newest {
		_, err := c.MCS.MulticlusterV1beta1().ServiceExports(e.Namespace).Create(ctx, e, metav1.CreateOptions{})
		return err
	}
	object, err := convert(e, alpha, keep)
	if err != nil {
		return err
	}
	_, err = c.MCS.MulticlusterV1alpha1().ServiceExports(e.Namespace).Create(ctx, object.(*mcsv1alpha1.ServiceExport), metav1.CreateOptions{})
	return err
}

// DeleteExport deletes a ServiceExport.
func (c Cluster) DeleteExport(ctx context.Context, namespace, name string) error {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceExports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
	return c.MCS.MulticlusterV1alpha1().ServiceExports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// fromAlpha converts an object of v1alpha1 to v1beta1.
func fromAlpha[T any](alphaObject runtime.Object, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	object, err := convert(alphaObject, beta, keep)
	if err != nil {
		return nil, err
	}
	return any(object).(*T), nil
}
