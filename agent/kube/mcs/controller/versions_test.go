package controller_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestControllerFollowsAnUpgradeOfTheCRDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := kubetest.NewFake(t, kubetest.Oldest)
		mcstest.RunUpgrade(t, old, func() kubetest.Cluster { return old.Upgrade(kubetest.Newest) })
	})
}

// The controller also continues when CRDs are deleted, or replaced by older ones.
func TestDeletedCRDsAreReportedUntilTheyAreRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(kubetest.Cluster) {})
		advance(10 * time.Second)
		f.cluster = f.cluster.Upgrade(kubetest.None)
		advance(time.Minute)
		assert.Contains(t, f.problems(), "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1")
		assert.NotContains(t, f.problems(), "\n", "one line")
		assert.Empty(t, f.holder(t))
		f.cluster = f.cluster.Upgrade(kubetest.OnlyAlpha)
		f.export(t, "shop", "web")
		advance(time.Minute)
		assert.Empty(t, f.problems())
		_, err := f.cluster.Import(t.Context(), "shop", "web")
		assert.NoError(t, err)
	})
}

// A field that an API server drops is missing at each reconciliation.
func TestFieldsThatOldCRDsDropAreNotWrittenAgain(t *testing.T) {
	for _, release := range []kubetest.Release{kubetest.Oldest, kubetest.OnlyAlpha, kubetest.Newest} {
		t.Run(string(release), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(cluster kubetest.Cluster) { cluster.Upgrade(release) })
				f.cluster.Release = release
				advance(10 * time.Second)
				everything := func(e *catalog.Export) {
					e.IPFamilies, e.InternalTrafficPolicy = []catalog.IPFamily{catalog.IPv4, catalog.IPv6}, "Cluster"
				}
				f.export(t, "shop", "web", everything)
				shop := f.cluster.Kubernetes.CoreV1().Services("shop")
				own := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "own"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}}
				require.NoError(t, f.cluster.CreateExport(t.Context(), &mcsv1.ServiceExport{ObjectMeta: own.ObjectMeta}))
				own, err := shop.Create(t.Context(), own, metav1.CreateOptions{})
				require.NoError(t, err)
				advance(time.Minute)
				before := f.cluster.Writes()
				assert.Positive(t, before)
				for n := range 5 { // each makes the controller reconcile both services
					f.export(t, "shop", "web", everything)
					own.Annotations = map[string]string{"change": fmt.Sprint(n)}
					_, err := shop.Update(t.Context(), own, metav1.UpdateOptions{})
					require.NoError(t, err)
					advance(10 * time.Second)
				}
				assert.Equal(t, before, f.cluster.Writes())
			})
		})
	}
}
