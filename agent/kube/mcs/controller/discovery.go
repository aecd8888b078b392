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

	"github.com/meshway/meshway/agent/notify"
)

const (
	// discoveryRetry is the interval until the API is found, and the limit of one try.
	discoveryRetry = 5 * time.Second
	// discoveryInterval is the interval at which changes of the CRDs are detected.
	discoveryInterval = 15 * time.Second
)

// errCRDs is returned if the cluster does not have the required CRDs.
var errCRDs = errors.New("CRDs are missing")

// awaitAPI waits until the API server serves the CRDs. Informers started before would
// log an error at each try.
func (c *Controller) awaitAPI(ctx context.Context) (api, error) {
	const step = "find the CRDs of the Multi-Cluster Services API"
	var found api
	if !notify.LoopUntil(ctx, discoveryRetry, func(ctx context.Context) bool {
		var err error
		if found, err = discover(ctx, c.cfg.MCS); err != nil && ctx.Err() == nil {
			c.failures.fail(step, err)
		}
		return err == nil
	}) {
		return api{}, ctx.Err()
	}
	c.failures.succeed(step)
	return found, nil
}

// awaitAPIChange returns when the cluster supports the API in another way than now, or
// no longer serves it. It ignores an API server that does not answer.
func (c *Controller) awaitAPIChange(ctx context.Context, now api) {
	notify.LoopUntil(ctx, discoveryInterval, func(ctx context.Context) bool {
		found, err := discover(ctx, c.cfg.MCS)
		return errors.Is(err, errCRDs) || err == nil && found.support != now.support
	}, c.rediscover.Changed)
}

// watchFailed records the failure of a watch, and starts a discovery at once if the
// resource is not found.
func (c *Controller) watchFailed(resource string, err error) {
	c.failures.failWatch(resource, err)
	if !apierrors.IsNotFound(err) {
		return
	}
	c.rediscover.Notify()
}

// discover returns the newest supported version whose resources are all served. It
// returns errCRDs if there is none.
func discover(ctx context.Context, client mcsclient.Interface) (api, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryRetry)
	defer cancel()
	server := discovery.ToDiscoveryInterfaceWithContext(client.Discovery())
	for _, version := range supportedVersions() {
		served, err := serves(ctx, server, version)
		if err != nil {
			return api{}, fmt.Errorf("discover whether %s is served: %w", version, err)
		}
		if !served {
			continue
		}
		fields, err := readFields(ctx, server, version)
		if err != nil {
			return api{}, err
		}
		return api{client, support{version, fields}}, nil
	}
	return api{}, notServedError()
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
