package mcstest

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	patience = 20 * time.Second // what the conformance suite has
	poll     = 10 * time.Millisecond
)

// bench is a cluster, datacenter east, with the controller of one of its
// gateways; west and north are others of its federation, which only the catalog
// knows of.
type bench struct {
	t       *testing.T
	cluster Cluster
	catalog *Catalog
	ns      string
	leader  *controller.Controller
	end     func() // of leader

	mu     sync.Mutex // guards outage
	outage mcs.Outage
}

func newBench(t *testing.T, cluster Cluster) *bench {
	t.Helper()
	b := &bench{t: t, cluster: cluster, catalog: NewCatalog(t, "east", "west", "north")}
	b.ns = fmt.Sprintf("mcs-%x", time.Now().UnixNano())
	b.namespace(b.ns)
	b.leader, b.end = b.gateway("gw0")
	b.eventually(func() string { return fmt.Sprint(b.leader.Status()) }, "{true}")
	return b
}

// gateway starts a controller, and ends it with the test or by the function.
func (b *bench) gateway(identity string) (*controller.Controller, func()) {
	b.t.Helper()
	c, err := controller.New(controller.Config{
		Datacenter: "east", Identity: identity, Namespace: b.ns, Catalog: b.catalog, Outage: b.out,
		Kubernetes: b.cluster.Kubernetes, MCS: b.cluster.MCS,
		Log:   slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lease: controller.Lease{Duration: 3 * time.Second, Renew: 2 * time.Second, Retry: 200 * time.Millisecond},
	})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := c.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	end := func() { cancel(); group.Wait() }
	b.t.Cleanup(end)
	return c, end
}

func (b *bench) out() mcs.Outage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outage
}

// fail says which datacenters cannot be used from now on.
func (b *bench) fail(outage mcs.Outage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outage = outage
}

// eventually waits until look gives want.
func (b *bench) eventually(look func() string, want string) {
	b.t.Helper()
	b.within(patience, look, want)
}

func (b *bench) within(limit time.Duration, look func() string, want string) {
	b.t.Helper()
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	end := time.Now().Add(limit)
	for got := look(); got != want; got = look() {
		if time.Now().After(end) {
			require.Equal(b.t, want, got)
		}
		<-ticks.C
	}
}

func (b *bench) namespace(name string) {
	b.t.Helper()
	client := b.cluster.Kubernetes.CoreV1().Namespaces()
	_, err := client.Create(b.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// service makes a Service without selector whose endpoints are those given; '!'
// marks what is not ready.
func (b *bench) service(name string, edit func(*corev1.Service), addresses ...string) {
	b.t.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
		},
	}
	if edit != nil {
		edit(s)
	}
	_, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Create(b.t.Context(), s, metav1.CreateOptions{})
	require.NoError(b.t, err)
	if len(addresses) > 0 {
		b.endpoints(name, addresses...)
	}
}

// endpoints makes or replaces the slice of a Service.
func (b *bench) endpoints(service string, addresses ...string) {
	b.t.Helper()
	port, proto, http := int32(8080), corev1.ProtocolTCP, "http"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: service + "-1", Labels: map[string]string{
			discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "mcstest",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &http, Protocol: &proto, Port: &port}},
	}
	for _, a := range addresses {
		address, unready := strings.CutPrefix(a, "!")
		ready := !unready
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	client := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns)
	_, err := client.Update(b.t.Context(), s, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(b.t.Context(), s, metav1.CreateOptions{})
	}
	require.NoError(b.t, err)
}

func (b *bench) export(name string, edit ...func(*mcsv1.ServiceExport)) {
	b.t.Helper()
	e := &mcsv1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name}}
	for _, f := range edit {
		f(e)
	}
	require.NoError(b.t, b.cluster.CreateExport(b.t.Context(), e))
}

func (b *bench) unexport(name string) {
	b.t.Helper()
	require.NoError(b.t, b.cluster.deleteExport(b.t.Context(), b.ns, name))
}

// condition gives "status reason" of a condition of a ServiceExport.
func (b *bench) condition(name string, kind mcsv1.ServiceExportConditionType) func() string {
	return func() string {
		e, err := b.cluster.Export(b.t.Context(), b.ns, name)
		if err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(e.Status.Conditions, string(kind))
		if c == nil {
			return "none"
		}
		return string(c.Status) + " " + c.Reason
	}
}

// imported gives "type clusters | endpoints" of a ServiceImport; "none" if there
// is none and nothing is left of it.
func (b *bench) imported(namespace, name string) func() string {
	return func() string {
		i, err := b.cluster.Import(b.t.Context(), namespace, name)
		found := b.addresses(namespace, name)
		if apierrors.IsNotFound(err) {
			return strings.TrimSpace("none " + found)
		}
		if err != nil {
			return err.Error()
		}
		text := string(i.Spec.Type)
		for _, c := range i.Status.Clusters {
			text += " " + c.Cluster
		}
		if !meta.IsStatusConditionTrue(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady)) {
			text += b.unready()
		}
		return text + " | " + found
	}
}

// unready marks an import that is not ready, where its CRD has a condition to say so.
func (b *bench) unready() string {
	if b.cluster.Release == Oldest {
		return ""
	}
	return " (not ready)"
}

func (b *bench) addresses(namespace, name string) string {
	var found []string
	for _, s := range b.slices(namespace, name) {
		for _, e := range s.Endpoints {
			found = append(found, e.Addresses[0])
		}
	}
	return strings.Join(found, " ")
}

func (b *bench) slices(namespace, name string) []discoveryv1.EndpointSlice {
	list, err := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(namespace).List(b.t.Context(),
		metav1.ListOptions{LabelSelector: mcsv1.LabelServiceName + "=" + name})
	require.NoError(b.t, err)
	return list.Items
}

// at exports from another datacenter, an hour later than now or earlier.
func (b *bench) at(dc catalog.DatacenterName, namespace, name string, later time.Duration, edit func(*catalog.Export), addresses ...string) catalog.ExportKey {
	b.t.Helper()
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: dc, Namespace: namespace, Name: name},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports:      []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, InternalTrafficPolicy: "Cluster",
		CreatedAt: time.Now().Add(later).UTC().Truncate(time.Second),
	}
	if edit != nil {
		edit(&e)
	}
	s := catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: name + "-1"},
		Ports:            []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8080}},
	}
	for _, a := range addresses {
		address, unready := strings.CutPrefix(a, "!")
		s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: netip.MustParseAddr(address), Ready: !unready})
	}
	b.catalog.At(dc).Put(b.t, e, s)
	return e.ExportKey
}

// published gives "type | endpoints" of what the catalog says of east.
func (b *bench) published(name string) func() string {
	return func() string {
		f := catalog.ExportFilter{Datacenter: "east", Namespace: b.ns, Name: name}
		exports := b.catalog.View().Exports(f)
		if len(exports) == 0 {
			return "none"
		}
		text := string(exports[0].Type) + " |"
		for _, s := range b.catalog.View().EndpointSlices(f) {
			for _, e := range s.Endpoints {
				text += " "
				if !e.Ready {
					text += "!"
				}
				text += e.Address.String()
			}
		}
		return text
	}
}
