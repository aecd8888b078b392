package mcs_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// KEP-1645, "Constraints and Conflict Resolution", for each property: the export of
// west (the youngest) against that of east (the oldest).
func TestOldestExportWinsAndConflictsAreReported(t *testing.T) {
	for name, c := range map[string]struct {
		west   func(*catalog.Export)
		reason string
	}{
		"equal":                           {func(*catalog.Export) {}, "NoConflicts"},
		"port of another number":          {ports("http 8080/tcp"), "PortConflict"},
		"another port":                    {ports("http 80/tcp", "dns 53/udp"), "PortConflict"},
		"application protocol":            {func(e *catalog.Export) { e.Ports[0].AppProtocol = "h2c" }, "PortConflict"},
		"headless service":                {typed(catalog.Headless), "TypeConflict"},
		"session affinity":                {func(e *catalog.Export) { e.SessionAffinity = catalog.ClientIPAffinity }, "SessionAffinityConflict"},
		"session affinity configuration":  {func(e *catalog.Export) { e.SessionAffinitySeconds = 11 }, "SessionAffinityConfigConflict"},
		"internal traffic policy":         {func(e *catalog.Export) { e.InternalTrafficPolicy = "Local" }, "InternalTrafficPolicyConflict"},
		"unset policy equals the default": {func(e *catalog.Export) { e.InternalTrafficPolicy = "Cluster" }, "NoConflicts"},
		"traffic distribution":            {func(e *catalog.Export) { e.TrafficDistribution = "PreferClose" }, "TrafficDistributionConflict"},
		"family that west lacks":          {func(e *catalog.Export) { e.IPFamilies = []catalog.IPFamily{catalog.IPv6} }, "IPFamilyConflict"},
		"family that only west has":       {func(e *catalog.Export) { e.IPFamilies = append(e.IPFamilies, catalog.IPv6) }, "NoConflicts"},
		"labels":                          {func(e *catalog.Export) { e.Labels = map[string]string{"a": "b"} }, "LabelsConflict"},
		"annotations":                     {func(e *catalog.Export) { e.Annotations = map[string]string{"a": "b"} }, "AnnotationsConflict"},
		"several": {func(e *catalog.Export) {
			e.Type, e.Labels = catalog.Headless, map[string]string{"a": "b"}
		}, "LabelsConflict,TypeConflict"},
		"affinity applies to each importer alone": {func(e *catalog.Export) { e.Affinity = catalog.AffinityLocal }, "NoConflicts"},
	} {
		t.Run(name, func(t *testing.T) {
			m, ok := mcs.Merge([]catalog.Export{exported("west", c.west), exported("east")})
			require.True(t, ok)
			assert.Equal(t, c.reason, m.Conflict.Reason)
			assert.Equal(t, c.reason != "NoConflicts", m.Conflict.Status == metav1.ConditionTrue)
			alone, _ := mcs.Merge([]catalog.Export{exported("east")})
			m.Spec.Ports = m.Spec.Ports[:1]
			assert.Equal(t, alone.Spec, m.Spec, "the export of east takes precedence")
			assert.Equal(t, alone.Labels, m.Labels)
			assert.Equal(t, alone.Annotations, m.Annotations)
			assert.Equal(t, []string{"east", "west"}, m.Clusters)
		})
	}
}

// KEP-1645, "Service Port": ports are united by name, and by protocol and number.
func TestPortsAreUnited(t *testing.T) {
	for name, c := range map[string]struct {
		east, west []string
		want       []mcsv1.ServicePort
	}{
		"different ports": {[]string{"http 80/tcp"}, []string{"dns 53/udp"}, []mcsv1.ServicePort{
			{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
		}},
		"same name":   {[]string{"http 80/tcp"}, []string{"http 81/tcp"}, []mcsv1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}},
		"same number": {[]string{"http 80/tcp"}, []string{"web 80/tcp"}, []mcsv1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}},
		"same number with another protocol": {[]string{"a 80/tcp"}, []string{"b 80/sctp"}, []mcsv1.ServicePort{
			{Name: "a", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "b", Protocol: corev1.ProtocolSCTP, Port: 80},
		}},
		"both unnamed": {[]string{"- 80/tcp"}, []string{"- 81/tcp"}, []mcsv1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := mcs.Merge([]catalog.Export{exported("west", ports(c.west...)), exported("east", ports(c.east...))})
			assert.Equal(t, c.want, m.Spec.Ports)
		})
	}
}

func TestMergeDoesNotDependOnTheOrder(t *testing.T) {
	a, b, c := exported("east", ports("x 1/tcp")), exported("north", ports("y 2/tcp")), exported("west", ports("x 3/tcp", "z 4/tcp"))
	want, _ := mcs.Merge([]catalog.Export{a, b, c})
	for _, order := range [][]catalog.Export{{c, b, a}, {b, c, a}, {a, c, b}} {
		got, _ := mcs.Merge(order)
		assert.Equal(t, want, got)
	}
	c.CreatedAt = a.CreatedAt
	tie, _ := mcs.Merge([]catalog.Export{c, a})
	assert.Equal(t, int32(1), tie.Spec.Ports[0].Port, "of equally old exports the first by datacenter name")
	_, ok := mcs.Merge(nil)
	assert.False(t, ok)
}
