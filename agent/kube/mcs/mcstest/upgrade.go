package mcstest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// RunUpgrade checks that a controller follows CRDs that are upgraded while it
// runs, from the oldest to the newest: what is exported and imported stays, and
// has then what only the newer API knows.
func RunUpgrade(t *testing.T, old Cluster, upgrade func() Cluster) {
	b := newBench(t, old)
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	b.at("west", b.ns, "web", younger, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
	services := b.cluster.Kubernetes.CoreV1().Services(b.ns)
	derived := mcs.DerivedName(catalog.ServiceName{Namespace: b.ns, Name: "web"})
	before, err := services.Get(t.Context(), derived, metav1.GetOptions{})
	require.NoError(t, err)
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.1")

	b.cluster = upgrade()
	b.eventually(func() string {
		s, err := services.Get(t.Context(), derived, metav1.GetOptions{})
		require.NoError(t, err, "it stays")
		require.Equal(t, "ClusterSetIP | 10.1.0.1", b.published("web")(), "it stays exported")
		return s.OwnerReferences[0].APIVersion
	}, mcsv1.GroupVersion.String())
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1") // and ready
	after, err := services.Get(t.Context(), derived, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, before.UID, after.UID)
	assert.Equal(t, before.Spec.ClusterIPs, after.Spec.ClusterIPs, "clients go on")
	b.endpoints("web", "10.1.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.2 10.2.0.1")
	b.unexport("web")
	b.eventually(b.published("web"), "none")
}
