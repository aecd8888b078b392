package mcs_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// KEP-1645, "Exporting Services" and "Service Types".
func TestConditionValidReportsWhetherAServiceCanBeExported(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*mcs.Source)
		reason string // empty: no condition
		export bool
	}{
		"ClusterIP":      {func(*mcs.Source) {}, "Valid", true},
		"NodePort":       {func(s *mcs.Source) { s.Service.Spec.Type = corev1.ServiceTypeNodePort }, "Valid", true},
		"LoadBalancer":   {func(s *mcs.Source) { s.Service.Spec.Type = corev1.ServiceTypeLoadBalancer }, "Valid", true},
		"ExternalName":   {func(s *mcs.Source) { s.Service.Spec.Type = corev1.ServiceTypeExternalName }, "InvalidServiceType", false},
		"no Service":     {func(s *mcs.Source) { s.Service = nil }, "NoService", false},
		"no export":      {func(s *mcs.Source) { s.Export = nil }, "", false},
		"deleted export": {func(s *mcs.Source) { s.Export.DeletionTimestamp = to(metav1.Now()) }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := source()
			c.edit(&s)
			p := mcs.Publish(east(), s)
			assert.Equal(t, c.reason, p.Valid.Reason)
			assert.Equal(t, c.export, p.Export != nil)
			if c.reason != "" {
				assert.Equal(t, c.export, p.Valid.Status == metav1.ConditionTrue)
				assert.Equal(t, int64(3), p.Valid.ObservedGeneration)
			}
		})
	}
}

func TestExportHasThePropertiesOfItsService(t *testing.T) {
	s := source()
	s.Export.Spec.ExportedLabels = map[string]string{"a": "b"}
	s.Export.Spec.ExportedAnnotations = map[string]string{"c": "d"}
	s.Export.Annotations = map[string]string{mcs.AffinityAnnotation: "local", "not": "exported"}
	s.Service.Labels = map[string]string{"not": "exported"}
	s.Service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s.Service.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: to(int32(10))}}
	s.Service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	s.Service.Spec.TrafficDistribution = to("PreferClose")
	s.Service.Spec.Ports = append(s.Service.Spec.Ports, corev1.ServicePort{Name: "s", Protocol: corev1.ProtocolSCTP, Port: 9, AppProtocol: to("x")})
	assert.Equal(t, &catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: "east", Namespace: "shop", Name: "web"}, Type: catalog.ClusterSetIP,
		Ports:           []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}, {Name: "s", Protocol: "sctp", Number: 9, AppProtocol: "x"}},
		SessionAffinity: catalog.ClientIPAffinity, SessionAffinitySeconds: 10,
		IPFamilies: []catalog.IPFamily{catalog.IPv6, catalog.IPv4}, InternalTrafficPolicy: "Cluster", TrafficDistribution: "PreferClose",
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
		Affinity: catalog.AffinityLocal, CreatedAt: created(),
	}, mcs.Publish(east(), s).Export)

	s.Service.Spec.ClusterIP = corev1.ClusterIPNone
	assert.Equal(t, catalog.Headless, mcs.Publish(east(), s).Export.Type)
}

func TestUnknownAffinityIsReported(t *testing.T) {
	s := source()
	s.Export.Annotations = map[string]string{mcs.AffinityAnnotation: "near"}
	p := mcs.Publish(east(), s)
	assert.Equal(t, catalog.AffinityNone, p.Export.Affinity)
	assert.Contains(t, p.Valid.Message, `"near" is unknown`)
}

func TestEndpointsOutsideThePrefixesAreExcluded(t *testing.T) {
	s := source()
	s.Slices = append(s.Slices, slice("web-outside", "192.0.2.1", "10.1.0.9"), slice("web-v6", "fd00:1::7"))
	ours := slice("web-west", "10.1.0.100")
	ours.Labels[discoveryv1.LabelManagedBy] = mcs.ManagedBy
	names := slice("web-names", "10.1.0.101")
	names.AddressType = discoveryv1.AddressTypeFQDN
	p := mcs.Publish(east(), mcs.Source{Export: s.Export, Service: s.Service, Slices: append(s.Slices, ours, names)})
	var got []string
	for _, slice := range p.Slices {
		for _, e := range slice.Endpoints {
			got = append(got, fmt.Sprint(slice.Slice, " ", e.Address, " ", e.Ready))
		}
	}
	assert.Equal(t, []string{
		"web-abc 10.1.0.1 false", "web-abc 10.1.0.2 true", "web-outside 10.1.0.9 true", "web-v6 fd00:1::7 true",
	}, got)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, p.Excluded)
	assert.Equal(t, "node-1", p.Nodes[netip.MustParseAddr("10.1.0.9")])
	assert.Contains(t, mcs.ReadyCondition(p, true, nil).Message, "192.0.2.1")
}

func TestLargeSliceIsSplit(t *testing.T) {
	var list []string
	for i := range 450 {
		list = append(list, fmt.Sprintf("10.1.%d.%d", i/250, i%250))
	}
	s := source()
	s.Slices = []*discoveryv1.EndpointSlice{slice("web-abc", list...)}
	p := mcs.Publish(east(), s)
	require.Len(t, p.Slices, 3)
	assert.Equal(t, "web-abc", p.Slices[0].Slice)
	assert.Equal(t, "web-abc:3", p.Slices[2].Slice)
	assert.Len(t, p.Slices[2].Endpoints, 50)
}
