// Package propertytest has the promises about the ClusterProperty objects, to run
// against the API in memory and against a real API server.
package propertytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
)

const timeout = 20 * time.Second

// Gateway is a cluster with a writer of one of its gateways, gw0.
type Gateway struct {
	t      *testing.T
	client dynamic.Interface

	mu       sync.Mutex // guards all following
	now      status.Snapshot
	changed  chan struct{}
	problems []plan.Problem
	reports  int
}

// New starts the writer of a gateway that is in no federation; it ends with the test.
func New(t *testing.T, client dynamic.Interface) *Gateway {
	t.Helper()
	b := &Gateway{t: t, client: client, changed: make(chan struct{})}
	b.now = status.Snapshot{State: status.Standalone, Self: status.Self{Datacenter: "east", Gateway: "gw0"}}
	w := property.NewWriter(property.Config{Client: client, Snapshot: b.snapshot, Changed: b.waitChanged, Report: b.report})
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, w.Run(ctx)) })
	t.Cleanup(func() { cancel(); group.Wait() })
	return b
}

func (b *Gateway) snapshot() status.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *Gateway) waitChanged() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *Gateway) report(problems []plan.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = problems
	b.reports++
}

func (b *Gateway) set(edit func(*status.Snapshot)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(&b.now)
	close(b.changed)
	b.changed = make(chan struct{})
}

// Join makes the gateway a member, together with siblings.
func (b *Gateway) Join(datacenter, federation string, siblings ...string) {
	own := status.Datacenter{Name: datacenter, Self: true, Gateways: []status.Gateway{{Name: "gw0"}}}
	for _, s := range siblings {
		own.Gateways = append(own.Gateways, status.Gateway{Name: s})
	}
	b.set(func(s *status.Snapshot) {
		s.State, s.Catalog.Synced, s.Self.Datacenter = status.Member, true, datacenter
		s.Federation, s.Datacenters = &status.Federation{ID: federation, Name: "demo"}, []status.Datacenter{own}
	})
}

// AddSibling makes the writer look again: another gateway of the datacenter came or went.
func (b *Gateway) AddSibling() {
	b.set(func(s *status.Snapshot) {
		own := s.Datacenters[0]
		own.Gateways = append(slices.Clone(own.Gateways), status.Gateway{Name: "gw9"})
		s.Datacenters = []status.Datacenter{own}
	})
}

// Leave makes the gateway be in no federation.
func (b *Gateway) Leave() {
	b.set(func(s *status.Snapshot) {
		s.State, s.Federation, s.Datacenters = status.Standalone, nil, nil
	})
}

// Problems gives message and remedy of what the writer complains of.
func (b *Gateway) Problems() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, p := range b.problems {
		all = append(all, p.Subject+": "+p.Message+"; "+p.Remedy)
	}
	return strings.Join(all, "\n")
}

// Reports counts how often the complaints changed.
func (b *Gateway) Reports() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reports
}

// PropertiesOf is what Properties gives for a member.
func PropertiesOf(datacenter, federation string) string {
	return property.ClusterID + "=" + datacenter + " " + property.ClusterSet + "=" + federation
}

func (b *Gateway) api() dynamic.ResourceInterface { return b.client.Resource(b.resource()) }

// resource is of the version that is served.
func (b *Gateway) resource() schema.GroupVersionResource {
	resource := schema.GroupVersionResource{Group: "about.k8s.io", Version: "v1beta1", Resource: "clusterproperties"}
	if _, err := b.client.Resource(resource).List(b.t.Context(), metav1.ListOptions{}); apierrors.IsNotFound(err) {
		resource.Version = "v1alpha1"
	}
	return resource
}

// Properties gives "name=value" of all, sorted.
func (b *Gateway) Properties() string {
	list, err := b.api().List(b.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	found := map[string]string{}
	for _, o := range list.Items {
		value, _, _ := unstructured.NestedString(o.Object, "spec", "value")
		found[o.GetName()] = o.GetName() + "=" + value
	}
	return strings.TrimSpace(found[property.ClusterID] + " " + found[property.ClusterSet])
}

// Eventually waits until look gives what ok takes.
func (b *Gateway) Eventually(look func() string, ok func(string) bool) {
	b.t.Helper()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	end := time.Now().Add(timeout)
	for got := look(); !ok(got); got = look() {
		require.True(b.t, time.Now().Before(end), "it stays %q", got)
		<-ticks.C
	}
}

func (b *Gateway) awaitValue(look func() string, want string) {
	b.t.Helper()
	b.Eventually(look, func(got string) bool { return got == want })
}

// write makes a property of another manager.
func (b *Gateway) write(name, value string) {
	b.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"value": value}}}
	o.SetAPIVersion(b.resource().GroupVersion().String())
	o.SetKind("ClusterProperty")
	o.SetName(name)
	_, err := b.api().Create(b.t.Context(), o, metav1.CreateOptions{})
	require.NoError(b.t, err)
}

func (b *Gateway) delete(names ...string) {
	for _, name := range names {
		_ = b.api().Delete(context.Background(), name, metav1.DeleteOptions{}) // it may be gone already
	}
}

// Run checks the promises one after the other: the objects are the cluster's, so
// no two benches can share it at a time.
func Run(t *testing.T, client dynamic.Interface) {
	for _, c := range []struct {
		name    string
		promise func(*Gateway)
	}{
		{"ComeWithTheMembershipAndGoWithIt", comeAndGo},
		{"OfAnotherManagerStay", othersStay},
		{"OfASiblingStayWhenThisGatewayIsNoMember", siblingsStay},
		{"OfAGatewayThatIsGoneAreTakenOver", takenOver},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(t, client)
			t.Cleanup(func() { b.delete(property.ClusterID, property.ClusterSet) })
			c.promise(b)
		})
	}
}

func comeAndGo(b *Gateway) {
	b.Join("east", "id-1")
	b.awaitValue(b.Properties, PropertiesOf("east", "id-1"))
	b.Join("east", "id-2")
	b.awaitValue(b.Properties, PropertiesOf("east", "id-2"))
	b.Leave()
	b.awaitValue(b.Properties, "")
}

func othersStay(b *Gateway) {
	b.write(property.ClusterSet, "other")
	b.write(property.ClusterID, "east") // as Meshway would
	b.Join("east", "id-1")
	b.Eventually(b.Problems, func(got string) bool {
		return strings.Contains(got, property.ClusterSet+" has the value \"other\" of another manager") && !strings.Contains(got, property.ClusterID+":")
	})
	b.Leave()
	b.awaitValue(b.Problems, "")
	assert.Equal(b.t, PropertiesOf("east", "other"), b.Properties())
}

func siblingsStay(b *Gateway) {
	b.Join("east", "id-1", "gw1")
	b.awaitValue(b.Properties, PropertiesOf("east", "id-1"))
	b.setWriter("gw1", property.ClusterSet)
	b.Leave()
	b.awaitValue(b.Properties, property.ClusterSet+"=id-1") // the own one is gone
	b.Join("east", "id-2", "gw1")
	b.awaitValue(b.Properties, PropertiesOf("east", "id-2"))
	o, err := b.api().Get(b.t.Context(), property.ClusterSet, metav1.GetOptions{})
	require.NoError(b.t, err)
	assert.Contains(b.t, o.GetAnnotations(), mark, "it was not made again")
}

func takenOver(b *Gateway) {
	b.Join("east", "id-1", "gw1")
	b.awaitValue(b.Properties, PropertiesOf("east", "id-1"))
	b.setWriter("gw1", property.ClusterID, property.ClusterSet)
	b.Join("east", "id-1") // gw1 is no member any more
	b.awaitValue(b.writers, "gw0 gw0")
	b.Leave()
	b.awaitValue(b.Properties, "")
}

// mark is an annotation of what setWriter has written.
const mark = "meshway.io/test"

func (b *Gateway) setWriter(gateway string, names ...string) {
	b.t.Helper()
	for _, name := range names {
		o, err := b.api().Get(b.t.Context(), name, metav1.GetOptions{})
		require.NoError(b.t, err)
		o.SetAnnotations(map[string]string{property.WriterAnnotation: gateway, mark: ""})
		_, err = b.api().Update(b.t.Context(), o, metav1.UpdateOptions{})
		require.NoError(b.t, err)
	}
}

func (b *Gateway) writers() string {
	list, err := b.api().List(b.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.GetAnnotations()[property.WriterAnnotation])
	}
	return strings.Join(names, " ")
}
