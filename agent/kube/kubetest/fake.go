package kubetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	corefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"

	"github.com/meshway/meshway/agent/kube"
)

// NewFake returns a cluster in memory with a release of the CRDs of the Multi-Cluster
// Services API and with the other custom resources of Meshway. Unlike the fake clients
// of client-go it sets the UID, creation time and generation of objects and the
// addresses of Services, which it releases some time after their deletion, refuses
// updates of outdated Secrets, ServiceExports and ServiceImports, and prunes the latter
// two to the fields of their CRDs.
func NewFake(t testing.TB, release Release) Cluster { return Fakes(t, release)(t) }

// Fakes returns a function that returns a new cluster at each call, see NewFake. It
// parses the CRDs once for all of them.
func Fakes(t testing.TB, release Release) func(testing.TB) Cluster {
	t.Helper()
	s := schemasOf(t, release)
	return func(t testing.TB) Cluster { return newFake(t, release, s) }
}

func newFake(t testing.TB, release Release, s schemas) Cluster {
	core, mcs := corefake.NewSimpleClientset(), mcsfake.NewSimpleClientset()
	var count atomic.Int64
	onCreate := func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateAction)
		if !ok {
			return false, nil, nil
		}
		n := count.Add(1)
		object, err := meta.Accessor(create.GetObject())
		if err != nil {
			return true, nil, err
		}
		object.SetUID(types.UID(fmt.Sprint("uid-", n)))
		object.SetCreationTimestamp(metav1.Now())
		object.SetGeneration(1)
		if service, ok := create.GetObject().(*corev1.Service); ok {
			allocate(service, n)
		}
		return false, nil, nil
	}
	detectConflicts(core)
	core.PrependReactor("create", "*", onCreate)
	released := &releases{tracker: core.Tracker()}
	core.PrependReactor("*", "services", released.react)
	crds := &fakeCRDs{t: t, tracker: mcs.Tracker(), create: onCreate}
	crds.install(s)
	mcs.PrependReactor("*", "serviceexports", crds.react)
	mcs.PrependReactor("*", "serviceimports", crds.react)
	mcs.PrependWatchReactor("*", crds.watch)
	custom := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists())
	return Cluster{Clients: kube.Clients{Kubernetes: core, Dynamic: custom, MCS: fakeMCS{mcs, crds}}, Release: release}
}

// React adds a reaction to all requests to a fake cluster but watches.
func (c Cluster) React(reaction clienttesting.ReactionFunc) {
	if fake, ok := c.MCS.(fakeMCS); ok {
		fake.PrependReactor("*", "*", reaction)
	}
	if fake, ok := c.Kubernetes.(*corefake.Clientset); ok {
		fake.PrependReactor("*", "*", reaction)
	}
	if fake, ok := c.Dynamic.(*dynamicfake.FakeDynamicClient); ok {
		fake.PrependReactor("*", "*", reaction)
	}
}

// Upgrade replaces the CRDs of the Multi-Cluster Services API of a fake cluster.
func (c Cluster) Upgrade(release Release) Cluster {
	if fake, ok := c.MCS.(fakeMCS); ok {
		fake.crds.install(schemasOf(fake.crds.t, release))
	}
	c.Release = release
	return c
}

// Writes returns the number of requests to a fake cluster that write ServiceExports or
// ServiceImports.
func (c Cluster) Writes() int {
	fake, ok := c.MCS.(fakeMCS)
	if !ok {
		return 0
	}
	count := 0
	for _, a := range fake.Actions() {
		if slices.Contains([]string{"create", "update", "patch", "delete"}, a.GetVerb()) {
			count++
		}
	}
	return count
}

// fakeMCS is a fake client of the API that supports discovery and, like those of
// Kubernetes, informers.
type fakeMCS struct {
	*mcsfake.Clientset
	crds *fakeCRDs
}

// IsWatchListSemanticsUnSupported makes informers list and watch, see
// k8s.io/client-go/util/watchlist.
func (fakeMCS) IsWatchListSemanticsUnSupported() bool { return true }

// Discovery implements versioned.Interface.
func (f fakeMCS) Discovery() discovery.DiscoveryInterface {
	return fakeDiscovery{&fakediscovery.FakeDiscovery{Fake: &f.Fake}, f.crds}
}

// lists returns the list kinds of the resources of the dynamic client.
func lists() map[schema.GroupVersionResource]string {
	return map[schema.GroupVersionResource]string{
		{Group: "about.k8s.io", Version: "v1beta1", Resource: "clusterproperties"}:  "ClusterPropertyList",
		{Group: "about.k8s.io", Version: "v1alpha1", Resource: "clusterproperties"}: "ClusterPropertyList",
		kube.Kind[any]{Plural: "datacenters"}.Resource():                            "DatacenterList",
		kube.Kind[any]{Plural: "meshnodes"}.Resource():                              "MeshNodeList",
	}
}
