package controller_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// operator is who reads meshctl status of datacenter east.
type operator struct {
	cluster mcstest.Cluster
	catalog *mcstest.Catalog
	run     *controller.Controller
	events  *record.FakeRecorder

	mu   sync.Mutex // guards all following fields
	told []string   // each time, newest last
}

// newOperator runs a controller until the test ends; call it in a bubble.
func newOperator(t *testing.T, prepare func(mcstest.Cluster)) *operator {
	t.Helper()
	o := &operator{cluster: mcstest.NewFake(t, mcstest.Newest), catalog: mcstest.NewCatalog(t, "east", "west"), events: record.NewFakeRecorder(100)}
	_, err := o.cluster.Kubernetes.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	prepare(o.cluster)
	o.run, err = controller.New(controller.Config{
		Datacenter: "east", Identity: "gw0", Namespace: "shop", Catalog: o.catalog, Report: o.hear, Events: o.events,
		Outage: func() mcs.Outage { return mcs.Outage{} }, Kubernetes: o.cluster.Kubernetes, MCS: o.cluster.MCS,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, o.run.Run(ctx)) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
		assert.Empty(t, o.sees(), "who has ended has no problems")
	})
	return o
}

// pass lets time pass in a bubble, and all do what they have to do then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (o *operator) hear(problems []plan.Problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s; %s", p.Severity, p.Code, p.Subject, p.Message, p.Remedy))
	}
	o.told = append(o.told, strings.Join(lines, "\n"))
}

func (o *operator) sees() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.told) == 0 {
		return ""
	}
	return o.told[len(o.told)-1]
}

func (o *operator) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.told)
}

// export makes west export shop/web, or another.
func (o *operator) export(t *testing.T, namespace, name string, edit ...func(*catalog.Export)) catalog.ExportKey {
	t.Helper()
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: "west", Namespace: namespace, Name: name},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports:      []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, CreatedAt: time.Now(),
	}
	for _, f := range edit {
		f(&e)
	}
	o.catalog.At("west").Put(t, e, catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: name}, Ports: e.Ports,
		Endpoints: []catalog.Endpoint{{Address: netip.MustParseAddr("10.2.0.1"), Ready: true}},
	})
	return e.ExportKey
}

// Whatever the API server does not do: within seconds the operator reads it with
// its remedy, once, and no longer when it works.
func TestWhatKeepsServicesWaitingIsToldUntilItWorks(t *testing.T) {
	notThere := func(a clienttesting.Action) error {
		return apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	}
	forbidden := func(a clienttesting.Action) error {
		return apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("no RBAC"))
	}
	broken := func(clienttesting.Action) error { return apierrors.NewInternalError(errors.New("etcd is ill")) }
	for name, c := range map[string]struct {
		match  string // group/version/resource verb, beginning of it
		answer func(clienttesting.Action) error
		want   []string
	}{
		"no CRDs": {"multicluster.x-k8s.io/", notThere, []string{
			"error services-wait multi-cluster services: find the CRDs", "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1", "kubectl apply -f deploy/chart/meshway/crds",
		}},
		"exports forbidden":  {"multicluster.x-k8s.io/v1beta1/serviceexports list", forbidden, []string{"serviceexports", "no RBAC", "grant the ClusterRole"}},
		"Services forbidden": {"/v1/services list", forbidden, []string{"watch Services: ", "no RBAC", "grant the ClusterRole"}},
		"slices forbidden":   {"discovery.k8s.io/v1/endpointslices list", forbidden, []string{"watch EndpointSlices: ", "no RBAC", "grant the ClusterRole"}},
		"Lease not readable": {"coordination.k8s.io/v1/leases get", forbidden, []string{"read Lease meshway-mcs: ", "no RBAC", "grant the ClusterRole"}},
		"Lease not writable": {"coordination.k8s.io/v1/leases create", forbidden, []string{"write Lease meshway-mcs: ", "no RBAC", "grant the ClusterRole"}},
		"writes forbidden": {"discovery.k8s.io/v1/endpointslices create", forbidden, []string{
			"error services-wait 1 service waits: such as shop/web: create EndpointSlice: ", "no RBAC", "grant the ClusterRole",
		}},
		"writes fail": {"/v1/services create", broken, []string{
			"1 service waits: such as shop/web: create derived Service: ", "etcd is ill", "see that the API server answers",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bad atomic.Bool
				bad.Store(true)
				o := newOperator(t, func(cluster mcstest.Cluster) {
					cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
						r := a.GetResource()
						match := strings.HasPrefix(r.Group+"/"+r.Version+"/"+r.Resource+" "+a.GetVerb(), c.match)
						if !match || !bad.Load() {
							return false, nil, nil
						}
						return true, nil, c.answer(a)
					})
				})
				o.export(t, "shop", "web")
				pass(20 * time.Second)
				for _, part := range c.want {
					assert.Contains(t, o.sees(), part)
				}
				assert.NotContains(t, o.sees(), "\n", "one line")
				told := o.times()
				pass(5 * time.Minute)
				assert.LessOrEqual(t, o.times(), told+2, "once, not at each try")
				bad.Store(false)
				pass(100 * time.Second)
				assert.Empty(t, o.sees())
				assert.True(t, o.run.Status().Leading)
				_, err := o.cluster.Import(t.Context(), "shop", "web")
				assert.NoError(t, err)
			})
		})
	}
}

// One name that waits is not all: they are counted in one line.
func TestServicesThatWaitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOperator(t, func(cluster mcstest.Cluster) {
			cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
				return a.Matches("create", "endpointslices"), nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("no"))
			})
		})
		for n := range 3 {
			o.export(t, "shop", fmt.Sprint("web", n))
		}
		pass(20 * time.Second)
		assert.Contains(t, o.sees(), "services-wait 3 services wait: such as shop/web")
		assert.NotContains(t, o.sees(), "\n", "one line")
	})
}

// A service whose namespace is not here has no object that could say so.
func TestMissingNamespaceIsToldUntilItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOperator(t, func(mcstest.Cluster) {})
		o.export(t, "shop", "web")
		o.export(t, "later", "web")
		gone := o.export(t, "later", "db")
		pass(10 * time.Second)
		assert.Equal(t, "warning namespace-missing namespace later: this cluster does not have it, so 2 services are not imported,"+
			" such as db of datacenter west; kubectl create namespace later, if the services should be used here", o.sees())
		o.catalog.At("west").Delete(t, gone)
		pass(10 * time.Second)
		assert.Contains(t, o.sees(), "1 service is not imported")
		_, err := o.cluster.Kubernetes.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{})
		require.NoError(t, err)
		pass(10 * time.Second)
		assert.Empty(t, o.sees())
		for n := range 12 {
			o.export(t, fmt.Sprintf("other%02d", n), "web")
		}
		pass(10 * time.Second)
		assert.Equal(t, 9, strings.Count(o.sees(), "namespace-missing"), "bounded")
		assert.Contains(t, o.sees(), "4 further namespaces")
	})
}
