//go:build linux

package main

import (
	"context"
	"path/filepath"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/images"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// startClusters starts the two clusters of the suite and returns their contexts.
func startClusters(ctx context.Context, lab *cluster.Lab, s settings, dir string) ([]string, error) {
	options := []cluster.Options{cluster.Numbered(0), cluster.Numbered(1)}
	if s.dualStack {
		for i := range options {
			options[i] = options[i].DualStack(i)
		}
	}
	f, err := install.Clusters(ctx, lab, dir, options...)
	if err != nil {
		return nil, err
	}
	if err := loadImages(ctx, f.Clusters, dir); err != nil {
		return nil, err
	}
	if err := f.Install(ctx); err != nil {
		return nil, err
	}
	if err := f.EnableDNS(ctx); err != nil {
		return nil, err
	}
	var contexts []string
	for _, c := range f.Clusters {
		contexts = append(contexts, c.Name())
	}
	return contexts, nil
}

// loadImages loads replacements of the suite's images on the clusters.
func loadImages(ctx context.Context, clusters []*cluster.Cluster, dir string) error {
	list, err := images.Conformance(ctx)
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "conformance.tar")
	if err := images.WriteFile(archive, list...); err != nil {
		return err
	}
	for _, c := range clusters {
		if err := c.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}
