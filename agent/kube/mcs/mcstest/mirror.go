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

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
)

// mirroring is an export that asks for a mirror.
func mirroring(e *catalog.Export) { e.Mirror = true }

func mirroringHeadless(e *catalog.Export) { e.Mirror, e.Type = true, catalog.Headless }

// mirror gives "ports | endpoints" of a Service of a plain name, as kube-proxy
// and DNS see it.
func (b *bench) mirror(name string) func() string {
	return func() string {
		s, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(b.t.Context(), name, metav1.GetOptions{})
		var found []string
		list, failure := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).List(b.t.Context(),
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
		require.NoError(b.t, failure)
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

func mirrorLeadsToOneDatacenter(t *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	west := b.at("west", b.ns, "web", younger, func(e *catalog.Export) { // conflicts with that of east
		e.Mirror = true
		e.Ports = []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8000}}
	}, "10.2.0.1", "!10.2.0.2")
	b.at("north", b.ns, "web", younger, nil, "10.3.0.1")
	b.eventually(b.mirror("web-west"), "http 8000 | 10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east north west | 10.1.0.1 10.3.0.1")
	assert.Equal(t, "none", b.mirror("web-north")(), "it was not asked for")
	b.fail(mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}})
	b.eventually(b.mirror("web-west"), "http 8000 | ")
	b.fail(mcs.Outage{Doubtful: []catalog.DatacenterName{"west"}})
	b.eventually(b.mirror("web-west"), "http 8000 | 10.2.0.1")
	require.NoError(t, b.cluster.Kubernetes.CoreV1().Services(b.ns).Delete(t.Context(), "web-west", metav1.DeleteOptions{}))
	b.eventually(b.mirror("web-west"), "http 8000 | 10.2.0.1")
	b.at("west", b.ns, "web", younger, nil, "10.2.0.1") // without a mirror
	b.eventually(b.mirror("web-west"), "none")
	b.at("west", b.ns, "web", younger, mirroring, "10.2.0.1")
	b.eventually(b.mirror("web-west"), "http 80 | 10.2.0.1")
	b.catalog.At("west").Delete(t, west)
	b.eventually(b.mirror("web-west"), "none")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east north | 10.1.0.1 10.3.0.1")
}

func headlessServiceIsMirrored(_ *testing.T, b *bench) {
	b.at("west", b.ns, "db", 0, mirroringHeadless, "10.2.0.1", "10.2.0.2")
	b.eventually(b.mirror("db-west"), "http 80 headless | 10.2.0.1 10.2.0.2")
	b.eventually(b.imported(b.ns, "db"), "Headless west | 10.2.0.1 10.2.0.2")
	b.at("west", b.ns, "db", 0, mirroring, "10.2.0.1")
	b.eventually(b.mirror("db-west"), "http 80 | 10.2.0.1")
}

// A Service of the mirror's name that is somebody else's is not touched.
func nameOfAMirrorMayBeTaken(_ *testing.T, b *bench) {
	b.service("web-west", func(s *corev1.Service) { s.Spec.Ports[0].Port = 4242 }, "10.1.0.9")
	west := b.at("west", b.ns, "web", 0, mirroring, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	b.eventually(func() string {
		i, err := b.cluster.Import(b.t.Context(), b.ns, "web")
		if err != nil {
			return err.Error()
		}
		if b.cluster.Release == Oldest {
			return fmt.Sprint(len(i.Status.Conditions) == 0)
		}
		c := meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady))
		return fmt.Sprint(c != nil && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, "web-west"))
	}, "true")
	b.catalog.At("west").Delete(b.t, west)
	b.eventually(b.imported(b.ns, "web"), "none")
	b.eventually(b.mirror("web-west"), "http 4242 | 10.1.0.9")
}

// The annotation reaches the catalog; what cannot be a name is told and exported
// without a mirror.
func mirrorIsAskedForByAnnotation(t *testing.T, b *bench) {
	asked := func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.MirrorAnnotation: "true"} }
	long := strings.Repeat("w", 60)
	for _, name := range []string{"web", long} {
		b.service(name, nil, "10.1.0.1")
		b.export(name, asked)
		b.eventually(b.condition(name, mcsv1.ServiceExportConditionReady), "True Exported")
	}
	mirror := func(name string) bool {
		return b.catalog.View().Exports(catalog.ExportFilter{Datacenter: "east", Namespace: b.ns, Name: name})[0].Mirror
	}
	assert.True(t, mirror("web"))
	assert.False(t, mirror(long))
	e, err := b.cluster.Export(t.Context(), b.ns, long)
	require.NoError(t, err)
	assert.Contains(t, meta.FindStatusCondition(e.Status.Conditions, string(mcsv1.ServiceExportConditionValid)).Message, "use a shorter name")
	b.within(time.Second, b.mirror("web-east"), "none") // the exporter has the Service itself
}

func removalTakesMirrors(t *testing.T, b *bench) {
	b.at("west", b.ns, "web", 0, mirroring, "10.2.0.1")
	b.eventually(b.mirror("web-west"), "http 80 | 10.2.0.1")
	b.end()
	require.NoError(t, controller.Remove(t.Context(), b.cluster.Kubernetes, b.cluster.MCS))
	b.eventually(b.mirror("web-west"), "none")
}
