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
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/kube/property/propertytest"
)

// newFake returns a cluster that serves ClusterProperty in one version.
func newFake(t testing.TB, served string) kubetest.Cluster {
	cluster := kubetest.NewFake(t, kubetest.Newest)
	cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.GetResource()
		return r.Group == "about.k8s.io" && r.Version != served, nil, apierrors.NewNotFound(r.GroupResource(), "")
	})
	return cluster
}

func TestWriterFulfilsItsContract(t *testing.T) {
	propertytest.RunFake(t, kubetest.Fakes(t, kubetest.Newest))
}

func TestWriterFulfilsItsContractOnV1alpha1(t *testing.T) {
	propertytest.RunFake(t, func(t testing.TB) kubetest.Cluster { return newFake(t, "v1alpha1") })
}

func TestRemoveDeletesOnlyManagedProperties(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1alpha1"} {
		t.Run(version, func(t *testing.T) {
			client := newFake(t, version).Dynamic
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
				cluster := kubetest.NewFake(t, kubetest.Newest)
				var mu sync.Mutex
				failing := true
				cluster.React(func(clienttesting.Action) (bool, runtime.Object, error) {
					mu.Lock()
					defer mu.Unlock()
					return failing, nil, c.err
				})
				g := propertytest.New(t, cluster.Dynamic)
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
