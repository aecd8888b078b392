package kubetest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"
	clienttesting "k8s.io/client-go/testing"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// fakeDiscovery is the discovery of a fake API server. Reactions of Cluster.React get its
// requests as "get" of the resource "resource" of a version.
type fakeDiscovery struct {
	*fakediscovery.FakeDiscovery
	crds *fakeCRDs
}

var _ discovery.DiscoveryInterfaceWithContext = fakeDiscovery{}

// ServerResourcesForGroupVersionWithContext implements discovery.DiscoveryInterfaceWithContext.
func (d fakeDiscovery) ServerResourcesForGroupVersionWithContext(_ context.Context, text string) (*metav1.APIResourceList, error) {
	version, err := schema.ParseGroupVersion(text)
	if err != nil {
		return nil, err
	}
	get := clienttesting.ActionImpl{Verb: "get", Resource: version.WithResource("resource")}
	if _, err := d.Invokes(get, nil); err != nil {
		return nil, err
	}
	list := &metav1.APIResourceList{GroupVersion: text}
	for kind := range d.crds.kinds(version.Version) {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: strings.ToLower(kind) + "s", Kind: kind, Namespaced: true})
	}
	if len(list.APIResources) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: version.Group}, text)
	}
	return list, nil
}

// OpenAPIV3WithContext implements discovery.DiscoveryInterfaceWithContext.
func (d fakeDiscovery) OpenAPIV3WithContext(context.Context) openapi.ClientWithContext {
	client := openapitest.NewFakeClient()
	for _, version := range []string{alpha, beta} {
		all := make(map[string]any)
		for kind, found := range d.crds.kinds(version) {
			all["io.x-k8s.multicluster."+version+"."+kind] = found
		}
		text, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": all}})
		require.NoError(d.crds.t, err)
		client.PathsMap["apis/"+mcsv1.GroupName+"/"+version] = openapitest.FakeGroupVersion{GVSpec: text}
	}
	return openapi.ToClientWithContext(client)
}
