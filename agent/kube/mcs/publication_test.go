package mcs_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
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
		"label key":      {func(s *mcs.Source) { s.Export.Spec.ExportedLabels = map[string]string{"a b": ""} }, "InvalidContent", false},
		"label value":    {func(s *mcs.Source) { s.Export.Spec.ExportedLabels = map[string]string{"a": strings.Repeat("x", 64)} }, "InvalidContent", false},
		"annotation key": {func(s *mcs.Source) { s.Export.Spec.ExportedAnnotations = map[string]string{"": "x"} }, "InvalidContent", false},
		"70 labels":      {func(s *mcs.Source) { s.Export.Spec.ExportedLabels = numbered(70) }, "InvalidContent", false},
		"an annotation of 5,000 bytes": {
			func(s *mcs.Source) {
				s.Export.Spec.ExportedAnnotations = map[string]string{"a": strings.Repeat("x", 5000)}
			}, "InvalidContent", false,
		},
		"100 ports":      {func(s *mcs.Source) { s.Service.Spec.Ports = servicePorts(100) }, "Valid", true},
		"300 ports":      {func(s *mcs.Source) { s.Service.Spec.Ports = servicePorts(300) }, "InvalidContent", false},
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

func numbered(n int) map[string]string {
	labels := make(map[string]string, n)
	for i := range n {
		labels[fmt.Sprint("label-", i)] = "x"
	}
	return labels
}

func servicePorts(n int) []corev1.ServicePort {
	list := make([]corev1.ServicePort, n)
	for i := range list {
		list[i] = corev1.ServicePort{Name: fmt.Sprint("port-", i), Protocol: corev1.ProtocolTCP, Port: int32(i + 1)}
	}
	return list
}

// The catalog must not refuse what the condition Valid accepts.
func TestCatalogAcceptsAnExportOf100Ports(t *testing.T) {
	s := source()
	s.Service.Spec.Ports = servicePorts(100)
	s.Slices = []*discoveryv1.EndpointSlice{slice("web-abc", "10.1.0.1")}
	s.Slices[0].Ports = nil
	for i := range 100 {
		s.Slices[0].Ports = append(s.Slices[0].Ports, discoveryv1.EndpointPort{Name: to(fmt.Sprint("port-", i)), Port: to(int32(i + 1))})
	}
	p := mcs.Publish(east(), s)
	require.NotNil(t, p.Export)
	assert.Nil(t, p.Export.Check())
	i := mcs.Plan(input([]catalog.Export{*p.Export}, p.Slices...))
	assert.Len(t, i.Service.Spec.Ports, 100)
	assert.Len(t, i.Slices[0].Ports, 100)
}

func TestTerminatingEndpointIsPublishedWhileItServes(t *testing.T) {
	s := source()
	conditions := func(ready, serving, terminating bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	}
	s.Slices = []*discoveryv1.EndpointSlice{slice("web-abc", "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4")}
	for i, c := range []discoveryv1.EndpointConditions{
		conditions(false, true, true), conditions(false, false, true), conditions(true, true, false), conditions(false, false, false),
	} {
		s.Slices[0].Endpoints[i].Conditions = c
	}
	p := mcs.Publish(east(), s)
	var serving []string
	for _, e := range p.Slices[0].Endpoints {
		if e.Terminating {
			serving = append(serving, e.Address.String())
		}
	}
	assert.Equal(t, []string{"10.1.0.1"}, serving)

	i := mcs.Plan(input([]catalog.Export{*p.Export}, p.Slices...))
	assert.Equal(t, "10.1.0.1 10.1.0.3", addresses(i))
	assert.Equal(t, conditions(false, true, true), i.Slices[0].Endpoints[0].Conditions)
	assert.Equal(t, discoveryv1.EndpointConditions{Ready: to(true)}, i.Slices[0].Endpoints[1].Conditions)
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
	s.Export.Annotations = map[string]string{mcs.AffinityAnnotation: "Near!"}
	p := mcs.Publish(east(), s)
	assert.Equal(t, catalog.AffinityNone, p.Export.Affinity)
	assert.Contains(t, p.Valid.Message, `"Near!" is unknown`)
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

// A record that is larger than a command would hold back all services of the cluster.
func TestLargestSliceFitsInACommand(t *testing.T) {
	s := source()
	s.Service.Spec.Ports = nil
	var addresses []string
	for i := range 1000 {
		addresses = append(addresses, fmt.Sprintf("10.1.%d.%d", 100+i/250, i%250))
	}
	large := slice("web-abc", addresses...)
	large.Ports = nil
	for i := range 1000 {
		name := fmt.Sprintf("%063d", i)
		large.Ports = append(large.Ports, discoveryv1.EndpointPort{
			Name: &name, Port: to(int32(i + 1)), AppProtocol: to(strings.Repeat("a", 63)),
		})
		if i < 250 {
			s.Service.Spec.Ports = append(s.Service.Spec.Ports, corev1.ServicePort{Name: name, Port: int32(i + 1)})
		}
	}
	for i := range large.Endpoints {
		large.Endpoints[i].Hostname, large.Endpoints[i].Zone = to(strings.Repeat("h", 63)), to(strings.Repeat("z", 63))
	}
	s.Slices = []*discoveryv1.EndpointSlice{large}
	p := mcs.Publish(east(), s)
	require.Equal(t, "Valid", p.Valid.Reason)
	require.Len(t, p.Slices, 5)
	for _, r := range p.Slices {
		assert.Nil(t, r.Check(east()))
		assert.Less(t, proto.Size(catalog.NewPutEndpoints([]catalog.EndpointSlice{r})), catalog.MaxCommandSize-1<<10)
	}
}
