package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const apiRetry = 5 * time.Second

// errCRDs: the cluster has not the CRDs that are needed.
var errCRDs = errors.New("CRDs are missing")

// awaitAPI waits for an API server that serves the CRDs: an informer would only
// fill the log.
func (c *Controller) awaitAPI(ctx context.Context) error {
	const api = "find the CRDs of the Multi-Cluster Services API"
	for {
		err := c.probe(ctx)
		if err == nil {
			c.troubles.succeed(api)
			return nil
		}
		if ctx.Err() == nil {
			c.troubles.fail(api, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(apiRetry):
		}
	}
}

func (c *Controller) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiRetry)
	defer cancel()
	_, exports := c.conf.MCS.MulticlusterV1beta1().ServiceExports(metav1.NamespaceAll).List(ctx, one())
	_, imports := c.conf.MCS.MulticlusterV1beta1().ServiceImports(metav1.NamespaceAll).List(ctx, one())
	if apierrors.IsNotFound(exports) || apierrors.IsNotFound(imports) {
		return c.missing(ctx)
	}
	return errors.Join(exports, imports)
}

// missing tells a cluster with the CRDs of an old release from one with none.
func (c *Controller) missing(ctx context.Context) error {
	_, err := c.conf.MCS.MulticlusterV1alpha1().ServiceExports(metav1.NamespaceAll).List(ctx, one())
	if err == nil {
		return fmt.Errorf("the cluster serves only v1alpha1, and v1beta1 is needed: %w; apply the newer ones of the chart", errCRDs)
	}
	return fmt.Errorf("the cluster does not serve multicluster.x-k8s.io/v1beta1: %w; apply those of the chart", errCRDs)
}

func one() metav1.ListOptions { return metav1.ListOptions{Limit: 1} }
