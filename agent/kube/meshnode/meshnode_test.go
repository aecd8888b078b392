package meshnode

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/tunnel"
)

// cluster has three nodes, of which the last one is a gateway.
type cluster struct{ next chan struct{} }

func (*cluster) Current() plan.Site         { return plan.Site{Known: true} }
func (c *cluster) Changed() <-chan struct{} { return c.next }

func (*cluster) Nodes() []kube.Node {
	node := func(name, cidr, address string) kube.Node {
		return kube.Node{Name: name, PodCIDRs: []netip.Prefix{netip.MustParsePrefix(cidr)}, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	gateway := node("east-3", "10.1.3.0/24", "192.0.2.3")
	gateway.Gateway = true
	return []kube.Node{node("east-1", "10.1.1.0/24", "192.0.2.1"), node("east-2", "10.1.2.0/24", "192.0.2.2"), gateway}
}

func newClient() *dynamicfake.FakeDynamicClient {
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{Kind().Resource(): Kind().Name + "List"})
}

// run runs a task until the test ends.
func run(t *testing.T, task func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- task(ctx) }()
	t.Cleanup(func() { stop(); assert.NoError(t, <-done) })
}

// node is a writer with given paths and pods.
type node struct {
	paths           []plan.Path
	pods            []netip.Prefix // in its routes
	spec, annotated []netip.Prefix // of its Node
	next            chan struct{}
}

func (n *node) start(t *testing.T, client *dynamicfake.FakeDynamicClient, name string, key byte) *Writer {
	t.Helper()
	n.next = make(chan struct{})
	w, err := NewWriter(WriterConfig{
		Client: client, Node: name, PublicKey: tunnel.PublicKey{key}, Port: 51820,
		Owner: func() (metav1.OwnerReference, bool) {
			return metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: name, UID: "u"}, true
		},
		Pods: func() []netip.Prefix { return n.pods }, NodePods: func() (spec, annotated []netip.Prefix) { return n.spec, n.annotated },
		Paths: func() ([]plan.Path, bool) { return n.paths, n.paths != nil }, Changed: func() <-chan struct{} { return n.next },
	})
	require.NoError(t, err)
	run(t, w.Run)
	return w
}

func read(t *testing.T, client *dynamicfake.FakeDynamicClient, name string) (MeshNode, bool) {
	t.Helper()
	object, err := client.Resource(Kind().Resource()).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return MeshNode{}, false
	}
	require.NoError(t, err)
	m, err := Kind().Decode(object)
	require.NoError(t, err)
	return m, true
}

// waitIdle waits in the fake time of the bubble until the informers have synced and
// all goroutines wait.
func waitIdle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func newSite(t *testing.T, client *dynamicfake.FakeDynamicClient, dir, gateway string) *Site {
	t.Helper()
	s, err := NewSite(SiteConfig{
		Client: client, Cluster: &cluster{next: make(chan struct{})}, Node: "east-3", Gateway: gateway, Dir: dir,
	})
	require.NoError(t, err)
	return s
}

func TestSiteHasTheNodesWithATunnelToTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, dir := newClient(), t.TempDir()
		far := &node{paths: []plan.Path{{Gateway: "east-3", Device: "mesh0", Tunnel: true}, {Gateway: "other", Device: "eth0"}}}
		near := &node{paths: []plan.Path{{Gateway: "east-3", Device: "eth0"}}}
		far.start(t, client, "east-1", 1)
		near.start(t, client, "east-2", 2)
		s := newSite(t, client, dir, "east-3")
		assert.True(t, s.Current().Nodes.Pending)
		run(t, s.Run)
		want := plan.Nodes{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24")}, Peers: []plan.NodePeer{{
			Name: "east-1", PublicKey: tunnel.PublicKey{1}, Port: 51820,
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")},
		}}}
		waitIdle()
		assert.Equal(t, want, s.Current().Nodes)
		m, _ := read(t, client, "east-1")
		assert.Equal(t, Spec{PublicKey: tunnel.PublicKey{1}.String(), Port: 51820, Tunnels: []string{"east-3"}, Links: []string{"other"}}, m.Spec)
		assert.Equal(t, "east-1", m.OwnerReferences[0].Name, "it is deleted with its Node")

		cached := newSite(t, client, dir, "east-3").Current().Nodes
		assert.Equal(t, want.Peers, cached.Peers)
		assert.True(t, cached.Pending)
		assert.Empty(t, newSite(t, client, dir, "other").Current().Nodes.Peers, "it shares a link with all nodes that use it")
	})
}

func TestObjectOfAHostThatBecameAGatewayIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		object, err := Kind().Encode(MeshNode{ObjectMeta: metav1.ObjectMeta{Name: "east-3"}, Spec: Spec{Tunnels: []string{"east-3"}}})
		require.NoError(t, err)
		_, err = client.Resource(Kind().Resource()).Create(t.Context(), object, metav1.CreateOptions{})
		require.NoError(t, err)
		s := newSite(t, client, t.TempDir(), "east-3")
		run(t, s.Run)
		waitIdle()
		_, exists := read(t, client, "east-3")
		assert.False(t, exists)
		assert.Empty(t, s.Current().Nodes.Peers)
	})
}

func TestObjectsOfOtherGatewaysAndOfMissingNodesAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		for name, key := range map[string]byte{"east-1": 1, "east-3": 3, "east-9": 9} {
			object, err := Kind().Encode(MeshNode{
				ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: Spec{PublicKey: tunnel.PublicKey{key}.String(), Port: 51820, Tunnels: []string{"east-4"}},
			})
			require.NoError(t, err)
			_, err = client.Resource(Kind().Resource()).Create(t.Context(), object, metav1.CreateOptions{})
			require.NoError(t, err)
		}
		s, err := NewSite(SiteConfig{
			Client: client, Cluster: &cluster{next: make(chan struct{})}, Node: "east-4", Gateway: "east-4", Dir: t.TempDir(),
		})
		require.NoError(t, err)
		run(t, s.Run)
		waitIdle()
		assert.False(t, s.Current().Nodes.Pending)
		require.Len(t, s.Current().Nodes.Peers, 1)
		assert.Equal(t, "east-1", s.Current().Nodes.Peers[0].Name, "east-3 has the gateway label, and the cluster has no east-9")
	})
}

func TestUnchangedObjectIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		n := &node{paths: []plan.Path{{Gateway: "east-3", Tunnel: true}}}
		w := n.start(t, client, "east-1", 1)
		waitIdle()
		objects, err := w.objects.List()
		require.NoError(t, err)
		require.Len(t, objects, 1)
		before := writes(client)
		require.NoError(t, w.write(t.Context()))
		assert.Equal(t, before, writes(client))
	})
}

func writes(client *dynamicfake.FakeDynamicClient) int {
	n := 0
	for _, a := range client.Actions() {
		if a.GetVerb() == "create" || a.GetVerb() == "update" || a.GetVerb() == "delete" {
			n++
		}
	}
	return n
}

func TestObjectThatCannotBeDecodedIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		object, err := Kind().Encode(MeshNode{ObjectMeta: metav1.ObjectMeta{Name: "east-1"}})
		require.NoError(t, err)
		require.NoError(t, unstructured.SetNestedField(object.Object, "of another version", "spec", "port"))
		_, err = client.Resource(Kind().Resource()).Create(t.Context(), object, metav1.CreateOptions{})
		require.NoError(t, err)
		(&node{paths: []plan.Path{{Gateway: "east-3", Tunnel: true}}}).start(t, client, "east-1", 1)
		waitIdle()
		m, _ := read(t, client, "east-1")
		assert.Equal(t, []string{"east-3"}, m.Spec.Tunnels)
	})
}

func TestNothingIsWrittenBeforeThePathsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		w := (&node{}).start(t, client, "east-1", 1)
		waitIdle()
		require.True(t, w.objects.Synced())
		require.NoError(t, w.write(t.Context()))
		assert.Zero(t, writes(client))
	})
}

func TestMissingCRDIsReportedAndLeavesNothingPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient()
		gone := apierrors.NewNotFound(Kind().Resource().GroupResource(), "")
		client.PrependReactor("list", "meshnodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, gone })
		s := newSite(t, client, t.TempDir(), "east-3")
		run(t, s.Run)
		waitIdle()
		require.Len(t, s.Current().Problems, 1)
		assert.Equal(t, "meshnodes-unknown", s.Current().Problems[0].Code)
		assert.False(t, s.Current().Nodes.Pending, "peers of other nodes may be removed")
	})
}

// An API server that starts refuses requests until it has read its roles and CRDs.
func TestPeersOfTheCacheStayWhileTheAPIServerIsUnavailable(t *testing.T) {
	resource := Kind().Resource().GroupResource()
	for name, c := range map[string]struct {
		err    error
		lasted time.Duration
		kept   bool
	}{
		"it does not answer":     {errors.New("connection refused"), time.Hour, true},
		"it does not know roles": {apierrors.NewForbidden(resource, "", errors.New("no role")), 0, true},
		"it does not know CRDs":  {apierrors.NewNotFound(resource, ""), 0, true},
		"the CRD is gone":        {apierrors.NewNotFound(resource, ""), 2 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, dir := newClient(), t.TempDir()
				require.NoError(t, state.File[map[string]Spec]{Path: dir + "/meshnodes.json"}.Save(map[string]Spec{
					"east-1": {PublicKey: tunnel.PublicKey{1}.String(), Port: 51820, Tunnels: []string{"east-3"}},
				}))
				client.PrependReactor("list", "meshnodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
				s := newSite(t, client, dir, "east-3")
				run(t, s.Run)
				waitIdle()
				time.Sleep(c.lasted)
				synctest.Wait()
				assert.Equal(t, c.kept, len(s.Current().Nodes.Peers) == 1)
				assert.Equal(t, c.kept, s.Current().Nodes.Pending)
			})
		})
	}
}

func TestCacheFileIsWrittenOnlyIfTheObjectsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, dir := newClient(), t.TempDir()
		file := dir + "/meshnodes.json"
		require.NoError(t, os.WriteFile(file, []byte("{"), 0o600)) // left by a crash of an old release
		s := newSite(t, client, dir, "east-3")
		run(t, s.Run)
		waitIdle()
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.JSONEq(t, "{}", string(text), "a file that is corrupt is replaced")
		require.NoError(t, os.Remove(file))
		time.Sleep(2 * kube.RecheckInterval)
		synctest.Wait()
		assert.NoFileExists(t, file)
		n := &node{paths: []plan.Path{{Gateway: "east-3", Tunnel: true}}}
		n.start(t, client, "east-1", 1)
		waitIdle()
		text, err = os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), "east-1")
	})
}

func TestRemoveDeletesOnlyManagedObjects(t *testing.T) {
	client := newClient()
	for name, labels := range map[string]map[string]string{"east-1": {kube.ManagedByLabel: kube.ManagedBy}, "mine": nil} {
		object, err := Kind().Encode(MeshNode{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
		require.NoError(t, err)
		_, err = client.Resource(Kind().Resource()).Create(t.Context(), object, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, Remove(t.Context(), client))
	_, exists := read(t, client, "east-1")
	assert.False(t, exists)
	_, exists = read(t, client, "mine")
	assert.True(t, exists)
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestPodRangesAreWrittenIfTheSpecOfTheNodeDoesNotCoverThem(t *testing.T) {
	for name, c := range map[string]struct {
		node node
		want []string
	}{
		"no route to a pod":                    {node: node{spec: prefixes("10.1.1.0/24")}},
		"the ranges of the spec":               {node: node{spec: prefixes("10.1.1.0/24", "fd00:1::/64"), pods: prefixes("10.1.1.0/24")}},
		"a route for each pod of these ranges": {node: node{spec: prefixes("10.1.1.0/24"), pods: prefixes("10.1.1.7/32", "10.1.1.9/32")}},
		"no ranges in the spec":                {node: node{pods: prefixes("10.1.7.0/26", "10.1.7.64/26")}, want: []string{"10.1.7.0/25"}},
		"other ranges of the CNI plugin":       {node: node{spec: prefixes("10.1.1.0/24"), pods: prefixes("10.1.7.0/26")}, want: []string{"10.1.7.0/26"}},
		"an annotation overrides the routes":   {node: node{pods: prefixes("10.1.7.0/26"), annotated: prefixes("10.1.8.0/24")}, want: []string{"10.1.8.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, n := newClient(), c.node
				n.paths = []plan.Path{{Gateway: "east-3", Tunnel: true}}
				n.start(t, client, "east-1", 1)
				waitIdle()
				m, exists := read(t, client, "east-1")
				require.True(t, exists)
				assert.Equal(t, c.want, m.Spec.PodCIDRs)
				s := newSite(t, client, t.TempDir(), "east-3")
				run(t, s.Run)
				waitIdle()
				require.Len(t, s.Current().Nodes.Peers, 1)
				assert.Equal(t, prefixes(c.want...), s.Current().Nodes.Peers[0].ReportedPodCIDRs)
				assert.Equal(t, prefixes("10.1.1.0/24"), s.Current().Nodes.Peers[0].PodCIDRs, "of the Node")
			})
		})
	}
}
