package mcstest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// RunUpgrade checks that a controller follows an upgrade of the CRDs from the oldest to
// the newest while it runs: exports and imports are kept, and get the fields of the
// newer version.
func RunUpgrade(t *testing.T, old kubetest.Cluster, upgrade func() kubetest.Cluster) {
	f := newFixture(t, old)
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
	services := f.cluster.Kubernetes.CoreV1().Services(f.ns)
	derived := mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: "web"})
	before, err := services.Get(t.Context(), derived, metav1.GetOptions{})
	require.NoError(t, err)
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.1")

	f.cluster = upgrade()
	f.eventually(func() string {
		s, err := services.Get(t.Context(), derived, metav1.GetOptions{})
		require.NoError(t, err, "the derived Service is kept")
		require.Equal(t, "ClusterSetIP | 10.1.0.1", f.published("web")(), "the export is kept")
		return s.OwnerReferences[0].APIVersion
	}, mcsv1.GroupVersion.String())
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1") // including ready
	after, err := services.Get(t.Context(), derived, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, before.UID, after.UID)
	assert.Equal(t, before.Spec.ClusterIPs, after.Spec.ClusterIPs, "clients are not interrupted")
	f.setEndpoints("web", "10.1.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.2 10.2.0.1")
	f.deleteExport("web")
	f.eventually(f.published("web"), "none")
}
