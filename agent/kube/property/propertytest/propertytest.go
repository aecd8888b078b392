// Package propertytest is the contract of property.Writer, for an API server in
// memory and a real one.
package propertytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/property"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Gateway runs the writer of gateway gw0 of a cluster.
type Gateway struct {
	t      *testing.T
	client dynamic.Interface

	changed  notify.Broadcast
	mu       sync.Mutex // guards all following
	now      plan.Reachability
	problems []plan.Problem
	reports  int
}

// New starts the writer of a gateway that is not a member. It stops at the end of the
// test.
func New(t *testing.T, client dynamic.Interface) *Gateway {
	t.Helper()
	g := &Gateway{t: t, client: client}
	g.now = plan.Reachability{Self: "east/gw0"}
	w := property.NewWriter(property.Config{Client: client, Reachability: g.reachability, Changed: g.changed.Changed, Report: g.report})
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, w.Run(ctx)) })
	t.Cleanup(func() { cancel(); group.Wait() })
	return g
}

func (g *Gateway) reachability() plan.Reachability {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *Gateway) report(problems []plan.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problems = problems
	g.reports++
}

// set changes what the gateway observes.
func (g *Gateway) set(edit func(*plan.Reachability)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	edit(&g.now)
	g.changed.Notify()
}

// Join makes the gateway a member, together with siblings.
func (g *Gateway) Join(datacenter, federation string, siblings ...string) {
	own := plan.DatacenterReachability{Self: true, Gateways: []plan.GatewayReachability{gateway("gw0")}}
	for _, s := range siblings {
		own.Gateways = append(own.Gateways, gateway(s))
	}
	g.set(func(r *plan.Reachability) {
		r.State, r.Synced, r.Self = plan.IsMember, true, catalog.NewGatewayID(catalog.DatacenterName(datacenter), "gw0")
		r.Federation, r.Datacenters = catalog.Federation{ID: federation, Name: "demo"}, []plan.DatacenterReachability{own}
	})
}

func gateway(name string) plan.GatewayReachability {
	return plan.GatewayReachability{Gateway: catalog.Gateway{Name: name}}
}

// AddSibling adds a gateway to the datacenter, so that the writer runs a pass.
func (g *Gateway) AddSibling() {
	g.set(func(r *plan.Reachability) {
		own := r.Datacenters[0]
		own.Gateways = append(slices.Clone(own.Gateways), gateway("gw9"))
		r.Datacenters = []plan.DatacenterReachability{own}
	})
}

// Leave ends the membership of the gateway.
func (g *Gateway) Leave() {
	g.set(func(r *plan.Reachability) {
		r.State, r.Federation, r.Datacenters = plan.NotMember, catalog.Federation{}, nil
	})
}

// Problems returns the reported problems, one per line.
func (g *Gateway) Problems() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, p := range g.problems {
		all = append(all, p.Subject+": "+p.Message+"; "+p.Remedy)
	}
	return strings.Join(all, "\n")
}

// Reports returns how often the writer has reported problems.
func (g *Gateway) Reports() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reports
}

// PropertiesOf returns what Properties returns for a member.
func PropertiesOf(datacenter, federation string) string {
	return property.ClusterID + "=" + datacenter + " " + property.ClusterSet + "=" + federation
}

func (g *Gateway) api() dynamic.ResourceInterface { return g.client.Resource(g.resource()) }

// resource returns the resource in the version that is served.
func (g *Gateway) resource() schema.GroupVersionResource {
	resource := schema.GroupVersionResource{Group: "about.k8s.io", Version: "v1beta1", Resource: "clusterproperties"}
	if _, err := g.client.Resource(resource).List(g.t.Context(), metav1.ListOptions{}); apierrors.IsNotFound(err) {
		resource.Version = "v1alpha1"
	}
	return resource
}

// Properties returns "name=value" of both properties, separated by a space.
func (g *Gateway) Properties() string {
	list, err := g.api().List(g.t.Context(), metav1.ListOptions{})
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

// Eventually waits until ok accepts the result of get.
func (g *Gateway) Eventually(get func() string, ok func(string) bool) {
	g.t.Helper()
	kubetest.Await(g.t, get, ok)
}

func (g *Gateway) awaitValue(get func() string, want string) {
	g.t.Helper()
	kubetest.AwaitValue(g.t, kubetest.Timeout, get, want)
}

// write creates a property of another manager.
func (g *Gateway) write(name, value string) {
	g.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"value": value}}}
	o.SetAPIVersion(g.resource().GroupVersion().String())
	o.SetKind("ClusterProperty")
	o.SetName(name)
	_, err := g.api().Create(g.t.Context(), o, metav1.CreateOptions{})
	require.NoError(g.t, err)
}

func (g *Gateway) delete(names ...string) {
	for _, name := range names {
		_ = g.api().Delete(context.Background(), name, metav1.DeleteOptions{}) // it may not exist
	}
}

// Run runs the contract on one API server. The tests run one after the other because
// all of them write the same cluster-scoped objects.
func Run(t *testing.T, cluster kubetest.Cluster) { contract().Run(t, cluster) }

// RunFake runs the contract on API servers in memory, each test on its own and in
// fake time.
func RunFake(t *testing.T, newCluster func(testing.TB) kubetest.Cluster) {
	contract().RunFake(t, newCluster)
}

func contract() kubetest.Contract[*Gateway] {
	return kubetest.Contract[*Gateway]{Fixture: newGateway, Tests: map[string]func(*testing.T, *Gateway){
		"PropertiesFollowTheMembership":                followMembership,
		"PropertiesOfAnotherManagerAreKept":            keepOfOtherManager,
		"PropertiesOfASiblingAreKeptByALeavingGateway": keepOfSibling,
		"PropertiesOfARemovedGatewayAreTakenOver":      takeOver,
	}}
}

// newGateway returns a gateway whose properties are deleted at the end of the test.
func newGateway(t *testing.T, cluster kubetest.Cluster) *Gateway {
	t.Helper()
	g := New(t, cluster.Dynamic)
	t.Cleanup(func() { g.delete(property.ClusterID, property.ClusterSet) })
	return g
}

func followMembership(_ *testing.T, g *Gateway) {
	g.Join("east", "id-1")
	g.awaitValue(g.Properties, PropertiesOf("east", "id-1"))
	g.Join("east", "id-2")
	g.awaitValue(g.Properties, PropertiesOf("east", "id-2"))
	g.Leave()
	g.awaitValue(g.Properties, "")
}

func keepOfOtherManager(_ *testing.T, g *Gateway) {
	g.write(property.ClusterSet, "other")
	g.write(property.ClusterID, "east") // the value that Meshway writes
	g.Join("east", "id-1")
	g.Eventually(g.Problems, func(got string) bool {
		return strings.Contains(got, property.ClusterSet+" has the value \"other\" of another manager") && !strings.Contains(got, property.ClusterID+":")
	})
	g.Leave()
	g.awaitValue(g.Problems, "")
	assert.Equal(g.t, PropertiesOf("east", "other"), g.Properties())
}

func keepOfSibling(_ *testing.T, g *Gateway) {
	g.Join("east", "id-1", "gw1")
	g.awaitValue(g.Properties, PropertiesOf("east", "id-1"))
	g.setWriter("gw1", property.ClusterSet)
	g.Leave()
	g.awaitValue(g.Properties, property.ClusterSet+"=id-1") // the own one is deleted
	g.Join("east", "id-2", "gw1")
	g.awaitValue(g.Properties, PropertiesOf("east", "id-2"))
	o, err := g.api().Get(g.t.Context(), property.ClusterSet, metav1.GetOptions{})
	require.NoError(g.t, err)
	assert.Contains(g.t, o.GetAnnotations(), mark, "it was updated, not recreated")
}

func takeOver(_ *testing.T, g *Gateway) {
	g.Join("east", "id-1", "gw1")
	g.awaitValue(g.Properties, PropertiesOf("east", "id-1"))
	g.setWriter("gw1", property.ClusterID, property.ClusterSet)
	g.Join("east", "id-1") // gw1 was removed
	g.awaitValue(g.writers, "gw0 gw0")
	g.Leave()
	g.awaitValue(g.Properties, "")
}

// mark is an annotation of the objects that setWriter has written.
const mark = "meshway.io/test"

// setWriter makes another gateway the writer of properties.
func (g *Gateway) setWriter(gateway string, names ...string) {
	g.t.Helper()
	for _, name := range names {
		o, err := g.api().Get(g.t.Context(), name, metav1.GetOptions{})
		require.NoError(g.t, err)
		o.SetAnnotations(map[string]string{property.WriterAnnotation: gateway, mark: ""})
		_, err = g.api().Update(g.t.Context(), o, metav1.UpdateOptions{})
		require.NoError(g.t, err)
	}
}

// writers returns the gateways that maintain the properties, separated by spaces.
func (g *Gateway) writers() string {
	list, err := g.api().List(g.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.GetAnnotations()[property.WriterAnnotation])
	}
	return strings.Join(names, " ")
}
