package mcstest

import (
	"context"
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

	"github.com/meshway/meshway/agent/kube/election"
	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// fixture is a cluster, datacenter east, with the controller of its gateway gw0. The
// other datacenters west, north and far-west exist in the catalog only.
type fixture struct {
	t          *testing.T
	cluster    kubetest.Cluster
	catalog    *Catalog
	ns         string                 // of the objects of the test
	stop       func()                 // stops the controller of gw0
	controller *controller.Controller // of the gateway that was started last

	mu     sync.Mutex // guards outage
	outage mcs.Outage
}

func newFixture(t *testing.T, cluster kubetest.Cluster) *fixture {
	t.Helper()
	f := &fixture{t: t, cluster: cluster, catalog: NewCatalog(t, "east", "west", "north", "far-west")}
	f.ns = cluster.NewNamespace(t, "mcs")
	f.stop = f.startGateway("gw0")
	f.eventually(f.leaseHolder, "gw0")
	return f
}

// startGateway starts a controller. It runs until the returned function is called or
// the test ends.
func (f *fixture) startGateway(identity string) (stop func()) {
	f.t.Helper()
	c, err := controller.New(controller.Config{
		Datacenter: "east",
		Identity:   identity,
		Namespace:  f.ns,
		Catalog:    f.catalog,
		Outage:     f.currentOutage,
		Kubernetes: f.cluster.Kubernetes,
		MCS:        f.cluster.MCS,
		Log:        slog.New(slog.NewTextHandler(f.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lease:      election.Times{Duration: 3 * time.Second, Renew: 2 * time.Second, Retry: 200 * time.Millisecond},
	})
	require.NoError(f.t, err)
	f.controller = c
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := c.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	stop = func() { cancel(); group.Wait() }
	f.t.Cleanup(stop)
	return stop
}

func (f *fixture) leaseHolder() string { return f.cluster.LeaseHolder(f.t, f.ns, controller.LeaseName) }

func (f *fixture) currentOutage() mcs.Outage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outage
}

// setOutage sets the datacenters that cannot be used.
func (f *fixture) setOutage(outage mcs.Outage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outage = outage
}

// eventually waits until read returns want.
func (f *fixture) eventually(read func() string, want string) {
	f.t.Helper()
	kubetest.AwaitValue(f.t, kubetest.Timeout, read, want)
}

// createService creates a Service without selector with endpoints; '!' marks an
// endpoint as not ready.
func (f *fixture) createService(name string, edit func(*corev1.Service), addresses ...string) {
	f.t.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
		},
	}
	if edit != nil {
		edit(s)
	}
	_, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Create(f.t.Context(), s, metav1.CreateOptions{})
	require.NoError(f.t, err)
	if len(addresses) > 0 {
		f.setEndpoints(name, addresses...)
	}
}

// setEndpoints creates or replaces the EndpointSlice of a Service.
func (f *fixture) setEndpoints(service string, addresses ...string) {
	f.t.Helper()
	port, proto, http := int32(8080), corev1.ProtocolTCP, "http"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: service + "-1", Labels: map[string]string{
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
	client := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns)
	_, err := client.Update(f.t.Context(), s, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(f.t.Context(), s, metav1.CreateOptions{})
	}
	require.NoError(f.t, err)
}

func (f *fixture) createExport(name string, edit ...func(*mcsv1.ServiceExport)) {
	f.t.Helper()
	e := &mcsv1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name}}
	for _, change := range edit {
		change(e)
	}
	require.NoError(f.t, f.cluster.CreateExport(f.t.Context(), e))
}

func (f *fixture) deleteExport(name string) {
	f.t.Helper()
	require.NoError(f.t, f.cluster.DeleteExport(f.t.Context(), f.ns, name))
}

// condition reads "status reason" of a condition of a ServiceExport.
func (f *fixture) condition(name string, kind mcsv1.ServiceExportConditionType) func() string {
	return func() string {
		e, err := f.cluster.Export(f.t.Context(), f.ns, name)
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

// imported reads "type clusters | endpoints" of a ServiceImport; "none" if neither it
// nor any of its endpoints exists.
func (f *fixture) imported(namespace, name string) func() string {
	return func() string {
		i, err := f.cluster.Import(f.t.Context(), namespace, name)
		found := f.addresses(namespace, name)
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
			text += f.notReady()
		}
		return text + " | " + found
	}
}

// notReady is the mark of an import that is not ready, empty if its CRD has no
// conditions.
func (f *fixture) notReady() string {
	if f.cluster.Release == kubetest.Oldest {
		return ""
	}
	return " (not ready)"
}

func (f *fixture) addresses(namespace, name string) string {
	var found []string
	for _, s := range f.slices(namespace, name) {
		for _, e := range s.Endpoints {
			found = append(found, e.Addresses[0])
		}
	}
	return strings.Join(found, " ")
}

func (f *fixture) slices(namespace, name string) []discoveryv1.EndpointSlice {
	list, err := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(namespace).List(f.t.Context(),
		metav1.ListOptions{LabelSelector: mcsv1.LabelServiceName + "=" + name})
	require.NoError(f.t, err)
	return list.Items
}

// exportFrom writes an export of another datacenter into the catalog. It is created at
// offset from now.
func (f *fixture) exportFrom(dc catalog.DatacenterName, namespace, name string, offset time.Duration, edit func(*catalog.Export), addresses ...string) catalog.ExportKey {
	f.t.Helper()
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: dc, Namespace: namespace, Name: name},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports:      []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, InternalTrafficPolicy: "Cluster",
		CreatedAt: time.Now().Add(offset).UTC().Truncate(time.Second),
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
	f.catalog.At(dc).Put(f.t, e, s)
	return e.ExportKey
}

// published reads "type | endpoints" of an export of east in the catalog.
func (f *fixture) published(name string) func() string {
	return func() string {
		filter := replica.ExportFilter{Datacenter: "east", Namespace: f.ns, Name: name}
		exports := f.catalog.View().Exports(filter)
		if len(exports) == 0 {
			return "none"
		}
		text := string(exports[0].Type) + " |"
		for _, s := range f.catalog.View().EndpointSlices(filter) {
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
