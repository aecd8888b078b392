package mcstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// What Kubernetes or the catalog would refuse is not exported; the condition Valid has the reason.
func testInvalidContent(_ *testing.T, f *fixture) {
	f.createService("bad", nil, "10.1.0.1")
	f.createService("web", nil, "10.1.0.2")
	f.createExport("bad", func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.MirrorAnnotation: "true"} })
	f.eventually(f.published("bad"), "ClusterSetIP | 10.1.0.1")
	f.setPorts("bad", 300)
	f.eventually(f.condition("bad", mcsv1.ServiceExportConditionValid), "False InvalidContent")
	f.eventually(f.published("bad"), "none")
	f.setPorts("bad", 100)
	f.eventually(f.condition("bad", mcsv1.ServiceExportConditionReady), "True Exported")
	if f.cluster.Release == kubetest.Oldest {
		return // its CRDs drop exported labels and annotations
	}
	labels := make(map[string]string)
	for i := range 70 {
		labels[fmt.Sprint("label-", i)] = "x"
	}
	for name, spec := range map[string]mcsv1.ServiceExportSpec{
		"labels":      {ExportedLabels: labels},
		"annotations": {ExportedAnnotations: map[string]string{"a": strings.Repeat("x", 5000)}},
	} {
		f.createService(name, nil, "10.1.0.3")
		f.createExport(name, func(e *mcsv1.ServiceExport) { e.Spec = spec })
		f.eventually(f.condition(name, mcsv1.ServiceExportConditionValid), "False InvalidContent")
		f.eventually(f.condition(name, mcsv1.ServiceExportConditionReady), "False Failed")
		f.eventually(f.published(name), "none")
	}
}

// setPorts replaces the ports of a Service.
func (f *fixture) setPorts(name string, n int) {
	f.t.Helper()
	services := f.cluster.Kubernetes.CoreV1().Services(f.ns)
	s, err := services.Get(f.t.Context(), name, metav1.GetOptions{})
	require.NoError(f.t, err)
	s.Spec.Ports = nil
	for i := range n {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", i), Protocol: corev1.ProtocolTCP, Port: int32(1000 + i)})
	}
	_, err = services.Update(f.t.Context(), s, metav1.UpdateOptions{})
	require.NoError(f.t, err)
}

// An export of another datacenter with content that the API server refuses is imported
// without it.
func testRefusedContent(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, func(e *catalog.Export) {
		e.Labels = map[string]string{"not a key": "x", "good": "yes"}
		e.Annotations = map[string]string{"not a key": "x"}
		e.TrafficDistribution, e.Ports[0].AppProtocol = "Nearest", "not a name"
	}, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	i, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	assert.Equal(t, "yes", i.Labels["good"])
	assert.NotContains(t, i.Labels, "not a key")
}

// A cluster without an export sets its preference on the ServiceImport.
func testImportPreference(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.exportFrom("north", f.ns, "web", younger, nil, "10.3.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	require.NoError(t, f.cluster.AnnotateImport(t.Context(), f.ns, "web", mcs.AffinityAnnotation, "west"))
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.2.0.1")
	f.exportFrom("west", f.ns, "web", 0, func(e *catalog.Export) { e.Annotations = map[string]string{"a": "b"} }, "!10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1")
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.2.0.2")
	i, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	assert.Equal(t, "west", i.Annotations[mcs.AffinityAnnotation])
}

// Clients may have cached the address of the import. In one of about 40 tries the API
// server has not released the address when the Service is created again.
func testDeletedDerivedService(t *testing.T, f *fixture) {
	for i := range 20 {
		service := fmt.Sprintf("web%d", i)
		f.exportFrom("west", f.ns, service, 0, nil, "10.2.0.1")
		f.eventually(f.imported(f.ns, service), "ClusterSetIP west | 10.2.0.1")
		name := mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: service})
		derived := func() (uid, address string) {
			s, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return "", ""
			}
			return string(s.UID), s.Spec.ClusterIP
		}
		before, address := derived()
		require.NoError(t, f.cluster.Kubernetes.CoreV1().Services(f.ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
		f.eventually(func() string {
			uid, again := derived()
			if uid == before {
				return "not replaced"
			}
			return again
		}, address)
	}
}
