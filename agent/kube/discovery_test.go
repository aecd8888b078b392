package kube

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
)

func settings() config.Kubernetes {
	return config.Kubernetes{Enabled: true, NodeName: "one", GatewayLabel: config.DefaultGatewayLabel}
}

func apiNode(name, pods, address string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{pods}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address},
		}},
	}
}

func kubeadmConfig() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeadmNamespace, Name: kubeadmName},
		Data: map[string]string{"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n" +
			"networking:\n  dnsDomain: cluster.local\n  podSubnet: 10.1.0.0/16\n  serviceSubnet: 10.96.0.0/12,fd00:96::/112\n"},
	}
}

// start runs a Discovery until the test ends.
func start(t *testing.T, client *fake.Clientset, dir string) *Discovery {
	t.Helper()
	d, err := NewDiscovery(DiscoveryConfig{Client: client, Kubernetes: settings(), Dir: dir})
	require.NoError(t, err)
	run(t, d.Run)
	return d
}

// run runs a task until the test ends.
func run(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
}

// waitIdle waits in the fake time of the bubble until the sources have synced and
// all goroutines wait.
func waitIdle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// assertSite asserts what is discovered once all goroutines of the bubble wait.
func assertSite(t *testing.T, d *Discovery, want string) {
	t.Helper()
	waitIdle()
	assert.Equal(t, want, siteText(d.Current()))
}

func TestDiscoveryFollowsTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
		d := start(t, client, t.TempDir())
		assertSite(t, d, "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")
		changed := d.Changed()
		_, err := client.CoreV1().Nodes().Create(t.Context(), apiNode("two.example", "10.7.1.0/24", "192.0.2.2"), metav1.CreateOptions{})
		require.NoError(t, err)
		<-changed
		assertSite(t, d, "pod 10.1.0.0/16, pod 10.7.1.0/24, service 10.96.0.0/12, service fd00:96::/112")
		_, err = client.NetworkingV1().ServiceCIDRs().Create(t.Context(), &networkingv1.ServiceCIDR{
			ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.101.0.0/16"}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		assertSite(t, d, "pod 10.1.0.0/16, pod 10.7.1.0/24, service 10.101.0.0/16")
		assert.Equal(t, map[string][]netip.Addr{
			"one": {netip.MustParseAddr("192.0.2.1")}, "two-example": {netip.MustParseAddr("192.0.2.2")},
		}, d.Addresses())
	})
}

// refuse makes all requests for a resource fail.
func refuse(client *fake.Clientset, resource string, err error) {
	client.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

func TestDiscoveryWorksWithoutRefusedSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
		cidrs := schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
		refuse(client, "servicecidrs", apierrors.NewNotFound(cidrs, ""))
		assertSite(t, start(t, client, t.TempDir()), "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")

		client = fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"))
		refuse(client, "configmaps", apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, kubeadmName, errors.New("no role")))
		d := start(t, client, t.TempDir())
		assertSite(t, d, "pod 10.1.0.0/24, service-cidrs-unknown")
		assert.Contains(t, d.Current().Problems[0].Message, "forbidden")
	})
}

// An API server that starts refuses all requests until it has read its roles.
func TestDiscoveryKeepsWhatIsKnownWhileARefusalMayPass(t *testing.T) {
	const all = "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112"
	for _, resource := range []string{"nodes", "configmaps"} {
		t.Run(resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				assertSite(t, start(t, fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig()), dir), all)

				var allowed atomic.Bool
				client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
				client.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
					return !allowed.Load(), nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("roles are not read"))
				})
				again := start(t, client, dir)
				assertSite(t, again, all)
				assert.Len(t, again.Nodes(), 1)
				time.Sleep(refusalLimit / 2)
				allowed.Store(true)
				time.Sleep(refusalLimit)
				assertSite(t, again, all)

				allowed.Store(false)
				lasting := start(t, client, dir)
				assertSite(t, lasting, all)
				time.Sleep(refusalLimit)
				waitIdle()
				assert.True(t, siteText(lasting.Current()) != all || len(lasting.Nodes()) == 0, "the role was taken away")
			})
		})
	}
}

func TestDiscoveryStartsFromItsCacheWithoutTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
		first := start(t, client, dir)
		assertSite(t, first, "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")

		away := fake.NewClientset()
		refuse(away, "*", errors.New("connection refused"))
		fresh, err := NewDiscovery(DiscoveryConfig{Client: away, Kubernetes: settings(), Dir: t.TempDir()})
		require.NoError(t, err)
		assert.False(t, fresh.Current().Known, "an unknown site must not cause any change")
		again := start(t, away, dir)
		assert.True(t, again.Current().Known)
		assert.Equal(t, first.Current(), again.Current())
		assert.Equal(t, first.Addresses(), again.Addresses())
	})
}

func TestDiscoveryWaitsForAllSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"))
		refuse(client, "servicecidrs", errors.New("connection refused"))
		d := start(t, client, t.TempDir())
		waitIdle()
		require.True(t, d.nodes.Synced())
		require.True(t, d.kubeadm.Synced())
		assert.False(t, d.Current().Known)
	})
}

func TestRoleFollowsTheLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
		client := fake.NewClientset(node, apiNode("two", "10.1.1.0/24", "192.0.2.2"))
		w, err := NewRoleWatcher(RoleConfig{Client: client, Kubernetes: settings(), Dir: dir})
		require.NoError(t, err)
		assert.Equal(t, RoleUnknown, w.Current())
		run(t, w.Run)
		assertRole := func(role Role) {
			t.Helper()
			waitIdle()
			require.Equal(t, role, w.Current())
		}
		assertRole(RoleNode)
		for _, step := range []struct {
			label string
			role  Role
		}{{"true", RoleGateway}, {"false", RoleNode}, {"true", RoleGateway}} {
			node.Labels["meshway.io/gateway"] = step.label
			_, err = client.CoreV1().Nodes().Update(t.Context(), node.DeepCopy(), metav1.UpdateOptions{})
			require.NoError(t, err)
			assertRole(step.role)
		}
		require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "one", metav1.DeleteOptions{}))
		again, err := NewRoleWatcher(RoleConfig{Client: fake.NewClientset(), Kubernetes: settings(), Dir: dir})
		require.NoError(t, err)
		assert.Equal(t, RoleGateway, again.Current(), "from the cache file")
		run(t, again.Run)
		waitIdle()
		require.True(t, again.node.Synced())
		assert.Equal(t, RoleGateway, again.Current(), "a missing Node changes nothing")
	})
}

func TestPodRangesComeFromTheSpecAndTheAnnotationOfTheOwnNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
		client := fake.NewClientset(node, apiNode("two", "10.1.1.0/24", "192.0.2.2"))
		w, err := NewRoleWatcher(RoleConfig{Client: client, Kubernetes: settings(), Dir: t.TempDir()})
		require.NoError(t, err)
		run(t, w.Run)
		for _, step := range []struct{ annotation, annotated string }{
			{"10.1.7.0/24, fd00:7::1/64", "10.1.7.0/24 fd00:7::/64"}, {"10.1.7.0/24,ten", ""}, {"10.1.8.0/24", "10.1.8.0/24"},
		} {
			node.Annotations = map[string]string{plan.PodCIDRsAnnotation: step.annotation}
			_, err = client.CoreV1().Nodes().Update(t.Context(), node.DeepCopy(), metav1.UpdateOptions{})
			require.NoError(t, err)
			waitIdle()
			spec, annotated := w.Pods()
			assert.Equal(t, cidrs("10.1.0.0/24"), spec)
			assert.Equal(t, cidrs(strings.Fields(step.annotated)...), annotated, step.annotation)
		}
	})
}

func TestInvalidAnnotationIsIgnoredAsAWhole(t *testing.T) {
	node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
	node.Annotations = map[string]string{plan.PodCIDRsAnnotation: "10.1.7.0/24,ten"}
	list, err := annotatedPods(node)
	assert.Empty(t, list)
	assert.ErrorContains(t, err, `annotation meshway.io/pod-cidrs of node one`)
	slim, err := slimNode(node)
	require.NoError(t, err)
	_, err = annotatedPods(slim.(*corev1.Node))
	assert.Error(t, err, "slimNode keeps the annotation")
}
