package property_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/kube/property/propertytest"
)

func newFake(served ...string) *dynamicfake.FakeDynamicClient {
	kinds := map[schema.GroupVersionResource]string{}
	for _, version := range []string{"v1beta1", "v1alpha1"} {
		kinds[schema.GroupVersionResource{Group: "about.k8s.io", Version: version, Resource: "clusterproperties"}] = "ClusterPropertyList"
	}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if len(served) == 0 || strings.Contains(strings.Join(served, " "), a.GetResource().Version) {
			return false, nil, nil
		}
		return true, nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	})
	return client
}

func TestWriterFulfilsItsContract(t *testing.T) {
	propertytest.RunFake(t, func() dynamic.Interface { return newFake() })
}

func TestWriterFulfilsItsContractOnV1alpha1(t *testing.T) {
	propertytest.RunFake(t, func() dynamic.Interface { return newFake("v1alpha1") })
}

func TestRemoveDeletesOnlyManagedProperties(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1alpha1"} {
		t.Run(version, func(t *testing.T) {
			client := newFake(version)
			resource := schema.GroupVersionResource{Group: "about.k8s.io", Version: version, Resource: "clusterproperties"}
			for name, manager := range map[string]string{property.ClusterID: kube.ManagedBy, property.ClusterSet: "another"} {
				object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"value": "east"}}}
				object.SetAPIVersion(resource.GroupVersion().String())
				object.SetKind("ClusterProperty")
				object.SetName(name)
				object.SetLabels(map[string]string{kube.ManagedByLabel: manager})
				_, err := client.Resource(resource).Create(t.Context(), object, metav1.CreateOptions{})
				require.NoError(t, err)
			}
			require.NoError(t, property.Remove(t.Context(), client))
			require.NoError(t, property.Remove(t.Context(), client), "a second call finds nothing")
			left, err := client.Resource(resource).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			require.Len(t, left.Items, 1)
			assert.Equal(t, property.ClusterSet, left.Items[0].GetName())
		})
	}
}

func TestFailuresOfTheAPIServerAreReportedOnceUntilTheyEnd(t *testing.T) {
	resource := schema.GroupResource{Group: "about.k8s.io", Resource: "clusterproperties"}
	for name, c := range map[string]struct {
		err    error
		remedy string
	}{
		"no CRD":       {apierrors.NewNotFound(resource, ""), "deploy/chart/meshway/crds"},
		"no RBAC":      {apierrors.NewForbidden(resource, "", errors.New("no")), "grant the ClusterRole"},
		"server fails": {apierrors.NewInternalError(errors.New("no")), "check that the API server answers"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newFake()
				var mu sync.Mutex
				failing := true
				client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
					mu.Lock()
					defer mu.Unlock()
					return failing, nil, c.err
				})
				g := propertytest.New(t, client)
				g.Join("east", "id-1")
				g.Eventually(func() string { return g.Problems() }, func(got string) bool { return strings.Contains(got, c.remedy) })
				mu.Lock()
				failing = false
				mu.Unlock()
				g.AddSibling()
				g.Eventually(g.Properties, func(got string) bool { return got == propertytest.PropertiesOf("east", "id-1") })
				g.Eventually(g.Problems, func(got string) bool { return got == "" })
				assert.Equal(t, 2, g.Reports(), "the problem and its end are reported once each")
			})
		})
	}
}
