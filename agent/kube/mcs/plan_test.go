package mcs_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// KEP-1645, "Importing Services".
func TestServiceImportExistsWhileADatacenterExportsTheName(t *testing.T) {
	both := []catalog.Export{exported("east"), exported("west")}
	for name, c := range map[string]struct {
		in   mcs.Input
		want string
	}{
		"two":  {input(both), "east west"},
		"one":  {input(both[1:]), "west"},
		"none": {input(nil), ""},
		"no namespace": {func() mcs.Input {
			in := input(both)
			in.Namespace = false
			return in
		}(), ""},
		"own export is deleted, the catalog still has it": {func() mcs.Input {
			in := input(both)
			in.Own = mcs.Publication{}
			return in
		}(), "west"},
		"own export is new, the catalog has it not yet": {func() mcs.Input {
			in := input(both[1:])
			in.Own.Export = &both[0]
			return in
		}(), "west"},
	} {
		t.Run(name, func(t *testing.T) {
			i := mcs.Plan(c.in)
			var clusters []string
			if i.ServiceImport != nil {
				for _, s := range i.ServiceImport.Status.Clusters {
					clusters = append(clusters, s.Cluster)
				}
			}
			assert.Equal(t, c.want, strings.Join(clusters, " "))
			assert.Equal(t, c.want == "", i.Service == nil)
		})
	}
}

func TestConflictIsReportedAlsoWithoutTheNamespace(t *testing.T) {
	in := input([]catalog.Export{exported("east"), exported("west", ports("http 81/tcp"))})
	in.Namespace = false
	assert.Equal(t, "PortConflict", mcs.Plan(in).Conflict.Reason)
}

// KEP-1645, "ClusterSetIP", "Using EndpointSlice objects to track endpoints".
func TestClusterSetIPHasADerivedServiceAndSlicesPerCluster(t *testing.T) {
	full := exported("west", func(e *catalog.Export) {
		e.SessionAffinity, e.SessionAffinitySeconds = catalog.ClientIPAffinity, 10
		e.InternalTrafficPolicy, e.TrafficDistribution = "Cluster", "PreferClose"
		e.Labels, e.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	})
	i := mcs.Plan(input([]catalog.Export{full}, endpoints("west", "http", "10.2.0.1", "!10.2.0.2")))
	assert.Equal(t, "derived-isrlchlhrq", mcs.DerivedName(web()))
	assert.Equal(t, map[string]string{"a": "b", mcs.ManagedByLabel: "meshway"}, i.ServiceImport.Labels)
	assert.Equal(t, map[string]string{"c": "d", mcs.DerivedServiceAnnotation: mcs.DerivedName(web())}, i.ServiceImport.Annotations)
	assert.Equal(t, mcsv1.ServiceImportSpec{
		Type: mcsv1.ClusterSetIP, Ports: []mcsv1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
		SessionAffinity:       corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: to(int32(10))}},
		IPFamilies:            []corev1.IPFamily{corev1.IPv4Protocol},
		InternalTrafficPolicy: to(corev1.ServiceInternalTrafficPolicyCluster), TrafficDistribution: to("PreferClose"),
	}, i.ServiceImport.Spec)
	assert.Equal(t, mcs.DerivedName(web()), i.Service.Name)
	assert.Empty(t, i.Service.Spec.Selector)
	assert.Equal(t, i.ServiceImport.Spec.SessionAffinityConfig, i.Service.Spec.SessionAffinityConfig)
	assert.Equal(t, i.ServiceImport.Spec.TrafficDistribution, i.Service.Spec.TrafficDistribution)

	require.Len(t, i.Slices, 1)
	s := i.Slices[0]
	assert.Equal(t, map[string]string{
		"multicluster.kubernetes.io/service-name":   "web",
		"multicluster.kubernetes.io/source-cluster": "west",
		"endpointslice.kubernetes.io/managed-by":    "meshway",
		"kubernetes.io/service-name":                mcs.DerivedName(web()),
	}, s.Labels)
	assert.Equal(t, discoveryv1.AddressTypeIPv4, s.AddressType)
	assert.Equal(t, []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(int32(8080))}}, s.Ports)
	require.Len(t, s.Endpoints, 1, "unready endpoints are omitted")
	assert.Equal(t, "zone-a", s.Endpoints[0].Hints.ForZones[0].Name)
}

func TestHeadlessServiceHasNoClusterSetIP(t *testing.T) {
	e := exported("west", typed(catalog.Headless))
	s := endpoints("west", "http", "10.2.0.1", "10.2.0.2")
	s.Endpoints[0].Hostname = "web-0"
	i := mcs.Plan(input([]catalog.Export{e}, s))
	assert.Nil(t, i.Service)
	mcs.CompleteImport(i.ServiceImport, nil, "")
	assert.Empty(t, i.ServiceImport.Spec.IPs)
	assert.Equal(t, metav1.ConditionTrue, i.ServiceImport.Status.Conditions[0].Status)
	assert.Equal(t, "10.2.0.1 10.2.0.2", addresses(i))
	assert.Equal(t, "web-0", *i.Slices[0].Endpoints[0].Hostname)
	assert.NotContains(t, i.Slices[0].Labels, discoveryv1.LabelServiceName)

	e.Ports, s.Ports = nil, nil
	assert.Equal(t, "10.2.0.1 10.2.0.2", addresses(mcs.Plan(input([]catalog.Export{e}, s))), "a headless service may have no ports")
}

// A request to a port reaches only clusters that expose it as the merged service
// does: the two cases of the conformance suite, and a third one.
func TestPortRoutesOnlyToClustersThatExposeIt(t *testing.T) {
	east := endpoints("east", "tcp", "10.1.0.1")
	for name, c := range map[string]struct {
		west catalog.Export
		port string
		want []string // each port of the derived Service with its endpoint
	}{
		"same name, another number": {exported("west", ports("tcp 4242/tcp")), "tcp", []string{"tcp 10.1.0.1"}},
		"another name and number":   {exported("west", ports("tcp2 4242/tcp")), "tcp2", []string{"tcp 10.1.0.1", "tcp2 10.2.0.1"}},
		"another name":              {exported("west", ports("http 42/tcp")), "http", []string{"tcp 10.1.0.1", "tcp 10.2.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := mcs.Plan(input([]catalog.Export{exported("east", ports("tcp 42/tcp")), c.west}, east, endpoints("west", c.port, "10.2.0.1")))
			var got []string
			for _, s := range i.Slices {
				got = append(got, *s.Ports[0].Name+" "+s.Endpoints[0].Addresses[0])
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestUnnamedPortOfSeveralIsNamed(t *testing.T) {
	exports := []catalog.Export{exported("east", ports("- 80/tcp")), exported("west", ports("dns 53/udp"))}
	west := endpoints("west", "dns", "10.2.0.1")
	west.Ports[0].Protocol = "udp"
	i := mcs.Plan(input(exports, endpoints("east", "", "10.1.0.1"), west))
	assert.Equal(t, "tcp-80", i.Service.Spec.Ports[0].Name)
	assert.Empty(t, i.ServiceImport.Spec.Ports[0].Name)
	require.Len(t, i.Slices, 2)
	assert.Equal(t, "tcp-80", *i.Slices[0].Ports[0].Name)
}

// Without a leader the catalog does not change, but pods of this cluster do.
func TestOwnEndpointsDoNotWaitForTheCatalog(t *testing.T) {
	in := input([]catalog.Export{exported("east")}, endpoints("east", "http", "10.1.0.1"))
	in.Own.Slices = []catalog.EndpointSlice{endpoints("east", "http", "10.1.0.2")}
	in.Own.Nodes = nil
	assert.Equal(t, "10.1.0.2", addresses(mcs.Plan(in)))
}

func TestServiceImportHasTheAddressesOfTheDerivedService(t *testing.T) {
	i := mcs.Plan(input([]catalog.Export{exported("west", func(e *catalog.Export) {
		e.IPFamilies = []catalog.IPFamily{catalog.IPv6, catalog.IPv4}
	})}))
	assert.Equal(t, corev1.IPFamilyPolicyPreferDualStack, *i.Service.Spec.IPFamilyPolicy)
	assert.Empty(t, i.Service.Spec.IPFamilies, "the cluster chooses")

	mcs.CompleteImport(i.ServiceImport, nil, "")
	assert.Equal(t, "Pending", i.ServiceImport.Status.Conditions[0].Reason)
	mcs.CompleteImport(i.ServiceImport, nil, "spec.ipFamilies[0]: not configured on this cluster")
	assert.Equal(t, "IPFamilyNotSupported", i.ServiceImport.Status.Conditions[0].Reason)

	i.Service.Spec.ClusterIPs, i.Service.Spec.IPFamilies = []string{"10.96.0.9"}, []corev1.IPFamily{corev1.IPv4Protocol}
	mcs.CompleteImport(i.ServiceImport, i.Service, "")
	assert.Equal(t, []string{"10.96.0.9"}, i.ServiceImport.Spec.IPs)
	assert.Equal(t, []corev1.IPFamily{corev1.IPv4Protocol}, i.ServiceImport.Spec.IPFamilies)
	assert.Equal(t, metav1.ConditionTrue, i.ServiceImport.Status.Conditions[0].Status)
}
