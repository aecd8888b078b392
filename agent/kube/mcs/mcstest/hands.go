package mcstest

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// What people do in a cluster, in the newest version that it serves.

// Import gives a ServiceImport.
func (c Cluster) Import(ctx context.Context, namespace, name string) (*mcsv1.ServiceImport, error) {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceImports(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	older, err := c.MCS.MulticlusterV1alpha1().ServiceImports(namespace).Get(ctx, name, metav1.GetOptions{})
	return newer[mcsv1.ServiceImport](older, err)
}

func (c Cluster) deleteImport(ctx context.Context, namespace, name string) error {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceImports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
	return c.MCS.MulticlusterV1alpha1().ServiceImports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// Export gives a ServiceExport.
func (c Cluster) Export(ctx context.Context, namespace, name string) (*mcsv1.ServiceExport, error) {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceExports(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	older, err := c.MCS.MulticlusterV1alpha1().ServiceExports(namespace).Get(ctx, name, metav1.GetOptions{})
	return newer[mcsv1.ServiceExport](older, err)
}

// CreateExport makes a ServiceExport.
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

func (c Cluster) deleteExport(ctx context.Context, namespace, name string) error {
	if c.Release == Newest {
		return c.MCS.MulticlusterV1beta1().ServiceExports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
	return c.MCS.MulticlusterV1alpha1().ServiceExports(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

func newer[T any](older runtime.Object, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	object, err := convert(older, beta, keep)
	if err != nil {
		return nil, err
	}
	return any(object).(*T), nil
}
