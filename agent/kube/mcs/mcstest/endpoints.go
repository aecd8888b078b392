package mcstest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func testUnreadyEndpoints(_ *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web", func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.AffinityAnnotation: "local"} })
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1", "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	f.setEndpoints("web", "!10.1.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.2.0.1 10.2.0.2")
	f.exportFrom("west", f.ns, "web", younger, nil, "!10.2.0.1", "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.2.0.2")
	f.setEndpoints("web", "10.1.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
}

func testAffinity(_ *testing.T, f *fixture) {
	west := []catalog.DatacenterName{"west"}
	outages := map[string]mcs.Outage{"none": {}, "withdrawn": {Withdrawn: west}, "cut off": {Doubtful: west}}
	const local, remote = "10.1.0.1", "10.2.0.1"
	want := map[string]map[string]string{ // by affinity and outage
		"local":  {"none": local, "withdrawn": local, "cut off": local},
		"remote": {"none": remote, "withdrawn": local, "cut off": local},
		"none":   {"none": local + " " + remote, "withdrawn": local, "cut off": local},
	}
	for affinity := range want {
		f.createService(affinity, nil, local)
		f.createExport(affinity, func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.AffinityAnnotation: affinity} })
		f.exportFrom("west", f.ns, affinity, younger, nil, remote)
	}
	for outage, o := range outages {
		f.setOutage(o)
		for affinity := range want {
			f.eventually(f.imported(f.ns, affinity), "ClusterSetIP east west | "+want[affinity][outage])
		}
	}
}

func testBurst(t *testing.T, f *fixture) {
	const services, size = 50, 100
	start := time.Now()
	for i := range services {
		var addresses []string
		for j := range size {
			addresses = append(addresses, fmt.Sprintf("10.2.%d.%d", i, j+1))
		}
		f.exportFrom("west", f.ns, fmt.Sprint("s", i), 0, nil, addresses...)
	}
	// Requests must not be throttled or lost. The speed is measured by make bench-kubernetes.
	kubetest.AwaitValue(t, time.Minute, func() string {
		list, err := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		count := 0
		for _, s := range list.Items {
			count += len(s.Endpoints)
		}
		return fmt.Sprint(count)
	}, fmt.Sprint(services*size))
	t.Logf("%d endpoints in %s", services*size, time.Since(start))
}

// kube-proxy uses an endpoint that terminates and still serves while no other is ready
// (KEP-1669): it must be able to do the same with endpoints of other clusters.
func testTerminatingEndpoints(t *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1", "10.1.0.2")
	f.createExport("web")
	f.eventually(f.states("web"), "10.1.0.1 ready, 10.1.0.2 ready")
	f.editSlice("web-1", func(s *discoveryv1.EndpointSlice) {
		s.Endpoints[0].Conditions = conditions(false, true, true)
		s.Endpoints[1].Conditions = conditions(false, false, true)
	})
	f.eventually(f.states("web"), "10.1.0.1 serving terminating")
	f.eventually(func() string { // what the other clusters get
		var list []string
		for _, s := range f.catalog.View().EndpointSlices(replica.ExportFilter{Datacenter: "east", Namespace: f.ns, Name: "web"}) {
			for _, e := range s.Endpoints {
				list = append(list, fmt.Sprint(e.Address, " ", e.Ready, " ", e.Terminating))
			}
		}
		return strings.Join(list, ", ")
	}, "10.1.0.1 false true, 10.1.0.2 false false")

	west := f.exportFrom("west", f.ns, "db", 0, nil, "10.2.0.1", "10.2.0.2")
	f.catalog.At("west").Put(t, f.exported(west), catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: west, Slice: "db-1"},
		Ports:            []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8080}},
		Endpoints: []catalog.Endpoint{
			{Address: netip.MustParseAddr("10.2.0.1"), Terminating: true},
			{Address: netip.MustParseAddr("10.2.0.2"), Ready: true},
		},
	})
	f.eventually(f.states("db"), "10.2.0.1 serving terminating, 10.2.0.2 ready")
}

func conditions(ready, serving, terminating bool) discoveryv1.EndpointConditions {
	return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
}

// exported returns an export in the catalog.
func (f *fixture) exported(key catalog.ExportKey) catalog.Export {
	return f.catalog.View().Exports(replica.ExportFilter(key))[0]
}

// states reads the imported endpoints of a name with their conditions.
func (f *fixture) states(name string) func() string {
	return func() string {
		var list []string
		for _, s := range f.slices(f.ns, name) {
			for _, e := range s.Endpoints {
				text := e.Addresses[0]
				switch c := e.Conditions; {
				case *c.Ready:
					text += " ready"
				case c.Serving != nil && c.Terminating != nil && *c.Serving && *c.Terminating:
					text += " serving terminating"
				}
				list = append(list, text)
			}
		}
		return strings.Join(list, ", ")
	}
}

// editSlice changes an EndpointSlice of the test's namespace.
func (f *fixture) editSlice(name string, edit func(*discoveryv1.EndpointSlice)) {
	f.t.Helper()
	client := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns)
	s, err := client.Get(f.t.Context(), name, metav1.GetOptions{})
	require.NoError(f.t, err)
	edit(s)
	_, err = client.Update(f.t.Context(), s, metav1.UpdateOptions{})
	require.NoError(f.t, err)
}

// addSlice creates an EndpointSlice of a Service.
func (f *fixture) addSlice(service, name string, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, addresses ...string) {
	f.t.Helper()
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name, Labels: map[string]string{
			discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "mcstest",
		}},
		AddressType: family, Ports: ports,
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	_, err := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Create(f.t.Context(), s, metav1.CreateOptions{})
	require.NoError(f.t, err)
}

func slicePort(name string, number int32) discoveryv1.EndpointPort {
	tcp := corev1.ProtocolTCP
	return discoveryv1.EndpointPort{Name: &name, Protocol: &tcp, Port: &number}
}

// A Service has several slices, of up to 1,000 endpoints, of both families, with ports
// that have no number or that the Service does not have.
func testSliceShapes(t *testing.T, f *fixture) {
	f.createService("web", nil)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("10.1.%d.%d", 1+i/250, 1+i%250))
	}
	http := slicePort("http", 8080)
	all := discoveryv1.EndpointPort{Name: new(string), Protocol: http.Protocol} // without a number: all ports
	odd := []discoveryv1.EndpointPort{http, all}
	for i := range 300 {
		odd = append(odd, slicePort(fmt.Sprint("other-", i), int32(9000+i)))
	}
	f.addSlice("web", "web-many", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{http}, many...)
	f.addSlice("web", strings.Repeat("w", 253), discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{http}, many...)
	f.addSlice("web", "web-six", discoveryv1.AddressTypeIPv6, []discoveryv1.EndpointPort{http}, "fd00:1::7", "fd00:1::8")
	f.addSlice("web", "web-odd", discoveryv1.AddressTypeIPv4, odd, "10.1.9.1")
	f.addSlice("web", "web-none", discoveryv1.AddressTypeIPv4, nil, "10.1.9.2")
	f.addSlice("web", "web-zero", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{slicePort("http", 0)}, "10.1.9.3")
	f.addSlice("web", "web-large", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{slicePort("http", 65536+80)}, "10.1.9.4")
	zone := strings.Repeat("z", 100)
	f.addSlice("web", "web-zone", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{http}, "10.1.9.5")
	f.editSlice("web-zone", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Zone = &zone })
	f.createExport("web")
	f.createService("api", nil, "10.1.9.6") // an odd slice does not hold back other services
	f.createExport("api")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
	f.eventually(f.condition("api", mcsv1.ServiceExportConditionReady), "True Exported")
	f.eventually(f.imported(f.ns, "api"), "ClusterSetIP east | 10.1.9.6")
	f.eventually(func() string { return f.countEndpoints("web") }, "2002 of IPv4, 2 of IPv6")
	for _, lone := range []string{"10.1.9.1", "10.1.9.5"} {
		assert.Contains(t, f.addresses(f.ns, "web"), lone)
	}
}

// countEndpoints counts the imported endpoints of a name that can be used.
func (f *fixture) countEndpoints(name string) string {
	count := map[discoveryv1.AddressType]int{}
	for _, s := range f.slices(f.ns, name) {
		if len(s.Ports) == 1 && *s.Ports[0].Port == 8080 {
			count[s.AddressType] += len(s.Endpoints)
		}
	}
	return fmt.Sprintf("%d of IPv4, %d of IPv6", count[discoveryv1.AddressTypeIPv4], count[discoveryv1.AddressTypeIPv6])
}

func testManyPorts(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, func(e *catalog.Export) { e.Ports = exportPorts(100, 1000) })
	key := catalog.ExportKey{Datacenter: "west", Namespace: f.ns, Name: "web"}
	f.catalog.At("west").Put(t, f.exported(key), catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: "web-1"}, Ports: exportPorts(100, 8000),
		Endpoints: []catalog.Endpoint{{Address: netip.MustParseAddr("10.2.0.1"), Ready: true}},
	})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	f.eventually(func() string { return fmt.Sprint(len(strings.Fields(f.ports("web")())) / 2) }, "100")
	assert.Len(t, f.slices(f.ns, "web")[0].Ports, 100)
}

func exportPorts(n int, first uint16) []catalog.ExportPort {
	var ports []catalog.ExportPort
	for i := range n {
		ports = append(ports, catalog.ExportPort{Name: fmt.Sprint("port-", i), Protocol: "tcp", Number: first + uint16(i)})
	}
	return ports
}

// One ready local pod must not get the traffic of all.
func testMinimumHealthy(_ *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1", "10.1.0.2")
	f.createExport("web", func(e *mcsv1.ServiceExport) {
		e.Annotations = map[string]string{mcs.AffinityAnnotation: "local", mcs.MinimumHealthyAnnotation: "2"}
	})
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.1.0.2")
	f.setEndpoints("web", "10.1.0.1", "!10.1.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	f.setEndpoints("web", "10.1.0.1", "10.1.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.1.0.2")
}
