package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

const (
	apiRetry = 5 * time.Second
	// apiLook is how often to see whether other CRDs have been installed.
	apiLook = 15 * time.Second
)

// errCRDs: the cluster has not the CRDs that are needed.
var errCRDs = errors.New("CRDs are missing")

// awaitAPI waits for an API server that serves the CRDs: an informer would only
// fill the log.
func (c *Controller) awaitAPI(ctx context.Context) (api, error) {
	const what = "find the CRDs of the Multi-Cluster Services API"
	for {
		found, err := probe(ctx, c.conf.MCS)
		if err == nil {
			c.troubles.succeed(what)
			return found, nil
		}
		if ctx.Err() == nil {
			c.troubles.fail(what, err)
		}
		select {
		case <-ctx.Done():
			return api{}, ctx.Err()
		case <-time.After(apiRetry):
		}
	}
}

// awaitOtherAPI returns when the cluster serves the API otherwise than now, or not
// at all. An API server that does not answer is no reason.
func (c *Controller) awaitOtherAPI(ctx context.Context, now api) {
	ticks := time.NewTicker(apiLook)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-c.unserved:
		}
		found, err := probe(ctx, c.conf.MCS)
		if errors.Is(err, errCRDs) || err == nil && found.dialect != now.dialect {
			return
		}
	}
}

// failWatch looks at once whether the API is served when it seems not to be.
func (c *Controller) failWatch(resource string, err error) {
	c.troubles.failWatch(resource, err)
	if !apierrors.IsNotFound(err) {
		return
	}
	select {
	case c.unserved <- struct{}{}:
	default:
	}
}

// probe finds the newest version that the API server has all of.
func probe(ctx context.Context, client mcsclient.Interface) (api, error) {
	ctx, cancel := context.WithTimeout(ctx, apiRetry)
	defer cancel()
	server := discovery.ToDiscoveryInterfaceWithContext(client.Discovery())
	for _, version := range versions() {
		served, err := serves(ctx, server, version)
		if err != nil {
			return api{}, fmt.Errorf("find out whether %s is served: %w", version, err)
		}
		if !served {
			continue
		}
		keeps, err := described(ctx, server, version)
		if err != nil {
			return api{}, err
		}
		return api{client, dialect{version, keeps}}, nil
	}
	return api{}, unserved()
}

func serves(ctx context.Context, server discovery.DiscoveryInterfaceWithContext, version schema.GroupVersion) (bool, error) {
	list, err := server.ServerResourcesForGroupVersionWithContext(ctx, version.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	has := func(resource string) bool {
		return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource })
	}
	return has(mcsv1.ServiceExportPluralName) && has(mcsv1.ServiceImportPluralName), nil
}
