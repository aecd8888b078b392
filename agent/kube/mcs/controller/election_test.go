package controller_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
)

// The elected gateway writes services while the API server shows that no other gateway
// holds the Lease, also if it refuses to renew it.
func TestElectedGatewayWritesUntilAnotherHoldsTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		failing []string // verbs of requests for the Lease
		other   bool     // another gateway takes the Lease
		writes  bool
	}{
		"writes of the Lease fail":          {[]string{"create", "update"}, false, true},
		"another gateway has taken it":      {[]string{"create", "update"}, true, false},
		"no request for the Lease succeeds": {[]string{"create", "update", "get"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failing atomic.Bool
				f := newFixture(t, func(cluster kubetest.Cluster) {
					cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
						for _, verb := range c.failing {
							if failing.Load() && a.Matches(verb, "leases") {
								return true, nil, apierrors.NewInternalError(errors.New("etcd failed"))
							}
						}
						return false, nil, nil
					})
				})
				advance(5 * time.Second)
				require.Equal(t, "gw0", f.holder(t))
				if c.other {
					f.takeLease(t, "gw1")
				}
				failing.Store(true)
				advance(25 * time.Second)
				f.export(t, "shop", "web")
				advance(2 * time.Minute)
				_, err := f.cluster.Import(t.Context(), "shop", "web")
				assert.Equal(t, c.writes, err == nil, "%v", err)
				failing.Store(false)
				advance(2 * time.Minute) // gw1 does not renew
				_, err = f.cluster.Import(t.Context(), "shop", "web")
				assert.NoError(t, err)
			})
		})
	}
}

// A renewal that fails reads the Lease, and later renewals only write it.
func TestFailedRenewalIsNoProblemAfterTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		f := newFixture(t, func(cluster kubetest.Cluster) {
			cluster.React(func(a clienttesting.Action) (bool, runtime.Object, error) {
				match := failing.Load() && a.GetResource().Resource == "leases"
				return match, nil, apierrors.NewInternalError(errors.New("etcd failed"))
			})
		})
		advance(5 * time.Second)
		failing.Store(true)
		advance(8 * time.Second)
		assert.Contains(t, f.problems(), "read Lease meshway-mcs")
		failing.Store(false)
		advance(5 * time.Second)
		assert.Empty(t, f.problems())
	})
}

// takeLease makes identity the holder of the Lease for three minutes.
func (f *fixture) takeLease(t *testing.T, identity string) {
	t.Helper()
	leases := f.cluster.Kubernetes.CoordinationV1().Leases("shop")
	lease, err := leases.Get(t.Context(), controller.LeaseName, metav1.GetOptions{})
	require.NoError(t, err)
	seconds, now := int32(180), metav1.NowMicro()
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &identity, &seconds
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &now, &now
	_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
	require.NoError(t, err)
}
