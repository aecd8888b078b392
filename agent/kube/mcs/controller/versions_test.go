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

	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestUpgradeOfCRDsIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := mcstest.NewFake(t, mcstest.Oldest)
		mcstest.RunUpgrade(t, old, func() mcstest.Cluster { return old.Upgrade(mcstest.Newest) })
	})
}

// Also CRDs that go, or come back as older ones, are no end.
func TestCRDsThatGoAreToldUntilTheyAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOperator(t, func(mcstest.Cluster) {})
		pass(10 * time.Second)
		o.cluster = o.cluster.Upgrade(mcstest.None)
		pass(time.Minute)
		assert.Contains(t, o.sees(), "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1")
		assert.NotContains(t, o.sees(), "\n", "one line")
		assert.False(t, o.run.Status().Leading)
		o.cluster = o.cluster.Upgrade(mcstest.OnlyAlpha)
		o.export(t, "shop", "web")
		pass(time.Minute)
		assert.Empty(t, o.sees())
		_, err := o.cluster.Import(t.Context(), "shop", "web")
		assert.NoError(t, err)
	})
}

// Fields that an API server drops are missing each time that its objects are looked at.
func TestWhatOldCRDsDropIsNotWrittenAgain(t *testing.T) {
	for _, release := range []mcstest.Release{mcstest.Oldest, mcstest.OnlyAlpha, mcstest.Newest} {
		t.Run(string(release), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOperator(t, func(cluster mcstest.Cluster) { cluster.Upgrade(release) })
				o.cluster.Release = release
				pass(10 * time.Second)
				everything := func(e *catalog.Export) {
					e.IPFamilies, e.InternalTrafficPolicy = []catalog.IPFamily{catalog.IPv4, catalog.IPv6}, "Cluster"
				}
				o.export(t, "shop", "web", everything)
				shop := o.cluster.Kubernetes.CoreV1().Services("shop")
				own := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "own"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}}
				require.NoError(t, o.cluster.CreateExport(t.Context(), &mcsv1.ServiceExport{ObjectMeta: own.ObjectMeta}))
				own, err := shop.Create(t.Context(), own, metav1.CreateOptions{})
				require.NoError(t, err)
				pass(time.Minute)
				before := o.cluster.Writes()
				assert.Positive(t, before)
				for n := range 5 { // each makes the controller look at both
					o.export(t, "shop", "web", everything)
					own.Annotations = map[string]string{"look": fmt.Sprint(n)}
					_, err := shop.Update(t.Context(), own, metav1.UpdateOptions{})
					require.NoError(t, err)
					pass(10 * time.Second)
				}
				assert.Equal(t, before, o.cluster.Writes())
			})
		})
	}
}
