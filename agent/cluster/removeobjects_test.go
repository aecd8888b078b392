package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/cluster"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/inventory"
	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/meshnode"
)

// kinds are those of the dynamic client that Meshway writes.
func kinds() map[schema.GroupVersionResource]string {
	about := schema.GroupVersion{Group: "about.k8s.io", Version: "v1beta1"}
	return map[schema.GroupVersionResource]string{
		inventory.Kind().Resource(): "Datacenter", meshnode.Kind().Resource(): "MeshNode",
		about.WithResource("clusterproperties"):                                  "ClusterProperty",
		{Group: about.Group, Version: "v1alpha1", Resource: "clusterproperties"}: "ClusterProperty",
	}
}

// populated returns a cluster with one object "ours" of each kind that Meshway writes,
// and one "theirs".
func populated(t *testing.T) kube.Clients {
	c := kubetest.NewFake(t, kubetest.Newest).Clients
	for name, manager := range map[string]string{"ours": kube.ManagedBy, "theirs": "another"} {
		labelled := metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{
			kube.ManagedByLabel: manager, discoveryv1.LabelManagedBy: manager, mcsv1.LabelServiceName: "web",
		}}
		create := metav1.CreateOptions{}
		_, err := c.Kubernetes.CoreV1().Services("shop").Create(t.Context(), &corev1.Service{ObjectMeta: labelled}, create)
		require.NoError(t, err)
		_, err = c.Kubernetes.DiscoveryV1().EndpointSlices("shop").Create(t.Context(), &discoveryv1.EndpointSlice{ObjectMeta: labelled}, create)
		require.NoError(t, err)
		_, err = c.MCS.MulticlusterV1beta1().ServiceImports("shop").Create(t.Context(), &mcsv1.ServiceImport{ObjectMeta: labelled}, create)
		require.NoError(t, err)
		for resource, kind := range kinds() {
			object := &unstructured.Unstructured{}
			object.SetAPIVersion(resource.GroupVersion().String())
			object.SetKind(kind)
			object.SetName(name)
			object.SetLabels(labelled.Labels)
			_, err = c.Dynamic.Resource(resource).Create(t.Context(), object, create)
			require.NoError(t, err)
		}
	}
	for _, name := range []string{controller.LeaseName, "theirs"} {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "meshway-system", Name: name}}
		_, err := c.Kubernetes.CoordinationV1().Leases("meshway-system").Create(t.Context(), lease, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err := c.MCS.MulticlusterV1beta1().ServiceExports("shop").Create(t.Context(), &mcsv1.ServiceExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "theirs"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

// remaining returns the names of all objects by their kind.
func remaining(t *testing.T, c kube.Clients) map[string][]string {
	names := map[string][]string{}
	add := func(kind string, list runtime.Object, err error) {
		require.NoError(t, err)
		require.NoError(t, meta.EachListItem(list, func(object runtime.Object) error {
			accessor, err := meta.Accessor(object)
			names[kind] = append(names[kind], accessor.GetName())
			return err
		}))
	}
	all := metav1.ListOptions{}
	services, err := c.Kubernetes.CoreV1().Services("").List(t.Context(), all)
	add("Service", services, err)
	slices, err := c.Kubernetes.DiscoveryV1().EndpointSlices("").List(t.Context(), all)
	add("EndpointSlice", slices, err)
	leases, err := c.Kubernetes.CoordinationV1().Leases("").List(t.Context(), all)
	add("Lease", leases, err)
	imports, err := c.MCS.MulticlusterV1beta1().ServiceImports("").List(t.Context(), all)
	add("ServiceImport", imports, err)
	exports, err := c.MCS.MulticlusterV1beta1().ServiceExports("").List(t.Context(), all)
	add("ServiceExport", exports, err)
	for resource := range kinds() {
		objects, err := c.Dynamic.Resource(resource).List(t.Context(), all)
		add(resource.String(), objects, err)
	}
	return names
}

func TestOnlyObjectsOfMeshwayAreRemoved(t *testing.T) {
	c := populated(t)
	for range 2 { // the Job of the hook may run again
		require.NoError(t, cluster.RemoveObjects(t.Context(), c, "meshway-system"))
		for kind, names := range remaining(t, c) {
			assert.Equal(t, []string{"theirs"}, names, kind)
		}
	}
}
