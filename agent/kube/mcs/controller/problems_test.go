package controller_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube/kubetest"
)

// A failing request to the API server is reported within seconds with its remedy, once,
// until it succeeds.
func TestFailingRequestIsReportedUntilItSucceeds(t *testing.T) {
	notFound := func(a clienttesting.Action) error {
		return apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	}
	forbidden := func(a clienttesting.Action) error {
		return apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("no RBAC"))
	}
	broken := func(clienttesting.Action) error { return apierrors.NewInternalError(errors.New("etcd failed")) }
	for name, c := range map[string]struct {
		match  string // prefix of "group/version/resource verb"
		answer func(clienttesting.Action) error
		want   []string
	}{
		"no CRDs": {"multicluster.x-k8s.io/", notFound, []string{
			"error services-wait multi-cluster services: multi-cluster services wait for the API server: find the CRDs", "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1", "kubectl apply -f deploy/chart/meshway/crds",
		}},
		"exports forbidden":  {"multicluster.x-k8s.io/v1beta1/serviceexports list", forbidden, []string{"serviceexports", "no RBAC", "grant the ClusterRole"}},
		"Services forbidden": {"/v1/services list", forbidden, []string{"watch Services: ", "no RBAC", "grant the ClusterRole"}},
		"slices forbidden":   {"discovery.k8s.io/v1/endpointslices list", forbidden, []string{"watch EndpointSlices: ", "no RBAC", "grant the ClusterRole"}},
		"Lease not readable": {"coordination.k8s.io/v1/leases get", forbidden, []string{"read Lease meshway-mcs: ", "no RBAC", "grant the ClusterRole"}},
		"Lease not writable": {"coordination.k8s.io/v1/leases create", forbidden, []string{"write Lease meshway-mcs: ", "no RBAC", "grant the ClusterRole"}},
		"writes forbidden": {"discovery.k8s.io/v1/endpointslices create", forbidden, []string{
			"error services-wait 1 service waits: service shop/web waits: create EndpointSlice: ", "no RBAC", "grant the ClusterRole",
		}},
		"writes fail": {"/v1/services create", broken, []string{
			"service shop/web waits: create derived Service: ", "etcd failed", "check that the API server answers",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failing atomic.Bool
				failing.Store(true)
				f := newFixture(t, func(cluster kubetest.Cluster) {
					cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
						r := a.GetResource()
						match := strings.HasPrefix(r.Group+"/"+r.Version+"/"+r.Resource+" "+a.GetVerb(), c.match)
						if !match || !failing.Load() {
							return false, nil, nil
						}
						return true, nil, c.answer(a)
					})
				})
				f.export(t, "shop", "web")
				advance(20 * time.Second)
				for _, part := range c.want {
					assert.Contains(t, f.problems(), part)
				}
				assert.NotContains(t, f.problems(), "\n", "one line")
				reports := f.reportCount()
				advance(5 * time.Minute)
				assert.LessOrEqual(t, f.reportCount(), reports+2, "once, not at each try")
				failing.Store(false)
				advance(100 * time.Second)
				assert.Empty(t, f.problems())
				assert.Equal(t, "gw0", f.holder(t))
				_, err := f.cluster.Import(t.Context(), "shop", "web")
				assert.NoError(t, err)
			})
		})
	}
}

// There is one problem for all services that wait.
func TestWaitingServicesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(cluster kubetest.Cluster) {
			cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
				return a.Matches("create", "endpointslices"), nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("no"))
			})
		})
		for n := range 3 {
			f.export(t, "shop", fmt.Sprint("web", n))
		}
		advance(20 * time.Second)
		assert.Contains(t, f.problems(), "services-wait 3 services wait: 3 services wait, such as shop/web")
		assert.NotContains(t, f.problems(), "\n", "one line")
	})
}

// A service without its namespace has no object with a condition, so it is a problem.
func TestMissingNamespaceIsReportedUntilItIsCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(kubetest.Cluster) {})
		f.export(t, "shop", "web")
		f.export(t, "later", "web")
		db := f.export(t, "later", "db")
		advance(10 * time.Second)
		assert.Equal(t, "warning namespace-missing namespace later: namespace later does not exist in this cluster, so 2 services are not imported,"+
			" such as db of datacenter west; run kubectl create namespace later if the services should be used in this cluster", f.problems())
		f.catalog.At("west").Delete(t, db)
		advance(10 * time.Second)
		assert.Contains(t, f.problems(), "1 service is not imported")
		f.cluster.CreateNamespace(t, "later")
		advance(10 * time.Second)
		assert.Empty(t, f.problems())
		for n := range 12 {
			f.export(t, fmt.Sprintf("other%02d", n), "web")
		}
		advance(10 * time.Second)
		assert.Equal(t, 9, strings.Count(f.problems(), "namespace-missing"), "limited")
		assert.Contains(t, f.problems(), "4 further namespaces")
	})
}
