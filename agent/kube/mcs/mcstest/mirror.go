package mcstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// requestMirror makes an export request a mirror.
func requestMirror(e *catalog.Export) { e.Mirror = true }

func requestHeadlessMirror(e *catalog.Export) { e.Mirror, e.Type = true, catalog.Headless }

// mirror reads "ports | endpoints" of a Service as kube-proxy and DNS do; "none" if
// neither it nor any endpoint exists.
func (f *fixture) mirror(name string) func() string {
	return func() string {
		s, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(f.t.Context(), name, metav1.GetOptions{})
		var found []string
		list, listErr := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).List(f.t.Context(),
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
		require.NoError(f.t, listErr)
		for _, slice := range list.Items {
			for _, e := range slice.Endpoints {
				found = append(found, e.Addresses[0])
			}
		}
		slices.Sort(found)
		if err != nil {
			return strings.TrimSpace("none " + strings.Join(found, " "))
		}
		var text []string
		for _, p := range s.Spec.Ports {
			text = append(text, fmt.Sprint(p.Name, " ", p.Port))
		}
		if s.Spec.ClusterIP == corev1.ClusterIPNone {
			text = append(text, "headless")
		}
		return strings.Join(text, " ") + " | " + strings.Join(found, " ")
	}
}

func testMirror(t *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	west := f.exportFrom("west", f.ns, "web", younger, func(e *catalog.Export) { // conflicts with the export of east
		e.Mirror = true
		e.Ports = []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8000}}
	}, "10.2.0.1", "!10.2.0.2")
	f.exportFrom("north", f.ns, "web", younger, nil, "10.3.0.1")
	f.eventually(f.mirror("web-west"), "http 8000 | 10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east north west | 10.1.0.1 10.3.0.1")
	assert.Equal(t, "none", f.mirror("web-north")(), "north does not request a mirror")
	f.setOutage(mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}})
	f.eventually(f.mirror("web-west"), "http 8000 | ")
	f.setOutage(mcs.Outage{Doubtful: []catalog.DatacenterName{"west"}})
	f.eventually(f.mirror("web-west"), "http 8000 | 10.2.0.1")
	require.NoError(t, f.cluster.Kubernetes.CoreV1().Services(f.ns).Delete(t.Context(), "web-west", metav1.DeleteOptions{}))
	f.eventually(f.mirror("web-west"), "http 8000 | 10.2.0.1")
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1") // without a mirror
	f.eventually(f.mirror("web-west"), "none")
	f.exportFrom("west", f.ns, "web", younger, requestMirror, "10.2.0.1")
	f.eventually(f.mirror("web-west"), "http 80 | 10.2.0.1")
	f.catalog.At("west").Delete(t, west)
	f.eventually(f.mirror("web-west"), "none")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east north | 10.1.0.1 10.3.0.1")
}

func testHeadlessMirror(_ *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "db", 0, requestHeadlessMirror, "10.2.0.1", "10.2.0.2")
	f.eventually(f.mirror("db-west"), "http 80 headless | 10.2.0.1 10.2.0.2")
	f.eventually(f.imported(f.ns, "db"), "Headless west | 10.2.0.1 10.2.0.2")
	f.exportFrom("west", f.ns, "db", 0, requestMirror, "10.2.0.1")
	f.eventually(f.mirror("db-west"), "http 80 | 10.2.0.1")
}

// A Service with the mirror's name that Meshway did not create is not changed.
func testMirrorNameTaken(_ *testing.T, f *fixture) {
	f.createService("web-west", func(s *corev1.Service) { s.Spec.Ports[0].Port = 4242 }, "10.1.0.9")
	west := f.exportFrom("west", f.ns, "web", 0, requestMirror, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	f.eventually(f.reports("web", "web-west"), "true")
	f.catalog.At("west").Delete(f.t, west)
	f.eventually(f.imported(f.ns, "web"), "none")
	f.eventually(f.mirror("web-west"), "http 4242 | 10.1.0.9")
	f.exportFrom("west", f.ns, "web", 0, requestMirror, "10.2.0.1")
	f.eventually(f.reports("web", "web-west"), "true")
	require.NoError(f.t, f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Delete(f.t.Context(), "web-west-1", metav1.DeleteOptions{}))
	require.NoError(f.t, f.cluster.Kubernetes.CoreV1().Services(f.ns).Delete(f.t.Context(), "web-west", metav1.DeleteOptions{}))
	kubetest.AwaitValue(f.t, soon, f.mirror("web-west"), "http 80 | 10.2.0.1")
}

// soon is less than the time until a failed write is tried again.
const soon = 5 * time.Second

// reports reads whether a usable ServiceImport reports a problem with a text. CRDs
// without conditions have nothing to read.
func (f *fixture) reports(name, text string) func() string {
	return func() string {
		i, err := f.cluster.Import(f.t.Context(), f.ns, name)
		if err != nil {
			return err.Error()
		}
		if f.cluster.Release == kubetest.Oldest {
			return fmt.Sprint(len(i.Status.Conditions) == 0)
		}
		c := meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady))
		return fmt.Sprint(c != nil && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, text))
	}
}

// Service web of far-west and service web-far of west have mirrors of the same name.
func testMirrorRivals(t *testing.T, f *fixture) {
	address := func() string {
		s, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(t.Context(), "web-far-west", metav1.GetOptions{})
		require.NoError(t, err)
		return s.Spec.ClusterIP
	}
	f.exportFrom("west", f.ns, "web-far", younger, requestMirror, "10.2.0.1")
	f.eventually(f.mirror("web-far-west"), "http 80 | 10.2.0.1")
	before := address()
	farWest := f.exportFrom("far-west", f.ns, "web", 0, requestMirror, "10.4.0.1")
	f.eventually(f.mirror("web-far-west"), "http 80 | 10.4.0.1")
	assert.Equal(t, before, address(), "the Service is taken over")
	f.eventually(f.reports("web-far", "it is the mirror of "+f.ns+"/web of datacenter far-west"), "true")
	f.eventually(f.imported(f.ns, "web-far"), "ClusterSetIP west | 10.2.0.1")
	f.exportFrom("west", f.ns, "web-far", younger, requestHeadlessMirror, "10.2.0.2")
	f.eventually(f.imported(f.ns, "web-far"), "Headless west | 10.2.0.2")
	assert.Equal(t, "http 80 | 10.4.0.1", f.mirror("web-far-west")())
	f.catalog.At("far-west").Delete(t, farWest)
	kubetest.AwaitValue(t, soon, f.mirror("web-far-west"), "http 80 headless | 10.2.0.2")
	f.eventually(f.reports("web-far", "web-far-west"), map[bool]string{true: "true", false: "false"}[f.cluster.Release == kubetest.Oldest])
	f.exportFrom("far-west", f.ns, "web", 0, requestMirror, "10.4.0.1")
	kubetest.AwaitValue(t, soon, f.mirror("web-far-west"), "http 80 | 10.4.0.1")
}

// Another cluster could choose a name and a datacenter whose mirror has the name of
// a derived Service.
func testMirrorDerivedName(t *testing.T, f *fixture) {
	derived := mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: "web"})
	name, dc, _ := strings.Cut(derived, "-")
	f.catalog.Join(t, catalog.DatacenterName(dc))
	f.exportFrom(catalog.DatacenterName(dc), f.ns, name, 0, requestHeadlessMirror, "10.5.0.1")
	f.eventually(f.mirror(derived), "http 80 headless | 10.5.0.1")
	west := f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	kubetest.AwaitValue(t, soon, f.mirror(derived), "http 80 | 10.2.0.1")
	f.eventually(f.reports(name, "it is the derived Service of "+f.ns+"/web"), "true")
	f.catalog.At("west").Delete(t, west)
	kubetest.AwaitValue(t, soon, f.mirror(derived), "http 80 headless | 10.5.0.1")
}

func testMirrorRivalOfExport(t *testing.T, f *fixture) {
	f.catalog.Join(t, "shop-east")
	older := f.exportFrom("shop-east", f.ns, "web", -younger, requestMirror, "10.5.0.1")
	f.createService("web-shop", nil, "10.1.0.1")
	f.createExport("web-shop", func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.MirrorAnnotation: "true"} })
	rival := func() string {
		e, err := f.cluster.Export(t.Context(), f.ns, "web-shop")
		require.NoError(t, err)
		c := meta.FindStatusCondition(e.Status.Conditions, string(mcsv1.ServiceExportConditionValid))
		return fmt.Sprint(c != nil && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, f.ns+"/web of datacenter shop-east"))
	}
	f.eventually(rival, "true")
	f.eventually(f.mirror("web-shop-east"), "http 80 | 10.5.0.1")
	f.catalog.At("shop-east").Delete(t, older)
	kubetest.AwaitValue(t, soon, rival, "false")
}

// The annotation sets the field of the export. A service whose mirror would have an
// invalid name is exported without a mirror, and its condition reports it.
func testMirrorAnnotation(t *testing.T, f *fixture) {
	annotate := func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.MirrorAnnotation: "true"} }
	long := strings.Repeat("w", 60)
	for _, name := range []string{"web", long} {
		f.createService(name, nil, "10.1.0.1")
		f.createExport(name, annotate)
		f.eventually(f.condition(name, mcsv1.ServiceExportConditionReady), "True Exported")
	}
	mirror := func(name string) bool {
		return f.catalog.View().Exports(replica.ExportFilter{Datacenter: "east", Namespace: f.ns, Name: name})[0].Mirror
	}
	assert.True(t, mirror("web"))
	assert.False(t, mirror(long))
	e, err := f.cluster.Export(t.Context(), f.ns, long)
	require.NoError(t, err)
	assert.Contains(t, meta.FindStatusCondition(e.Status.Conditions, string(mcsv1.ServiceExportConditionValid)).Message, "use a shorter name")
	kubetest.AwaitValue(t, time.Second, f.mirror("web-east"), "none") // the exporting cluster has the Service itself
}

func testMirrorRemoval(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, requestMirror, "10.2.0.1")
	f.eventually(f.mirror("web-west"), "http 80 | 10.2.0.1")
	f.stop()
	require.NoError(t, controller.Remove(t.Context(), f.cluster.Kubernetes, f.cluster.MCS))
	f.eventually(f.mirror("web-west"), "none")
}
