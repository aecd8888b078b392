package kube

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
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

// start runs a discovery until the test ends.
func start(t *testing.T, client *fake.Clientset, dir string) *Discovery {
	t.Helper()
	d, err := NewDiscovery(DiscoveryConfig{Client: client, Kubernetes: settings(), Dir: dir})
	require.NoError(t, err)
	run(t, d.Run)
	return d
}

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

func awaitSite(t *testing.T, d *Discovery, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return siteText(d.Current()) == want }, 10*time.Second, time.Millisecond,
		"is %s", siteText(d.Current()))
}

func TestDiscoveryFollowsTheCluster(t *testing.T) {
	client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
	d := start(t, client, t.TempDir())
	awaitSite(t, d, "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")
	changed := d.Changed()
	_, err := client.CoreV1().Nodes().Create(t.Context(), apiNode("two.example", "10.7.1.0/24", "192.0.2.2"), metav1.CreateOptions{})
	require.NoError(t, err)
	<-changed
	awaitSite(t, d, "pod 10.1.0.0/16, pod 10.7.1.0/24, service 10.96.0.0/12, service fd00:96::/112")
	_, err = client.NetworkingV1().ServiceCIDRs().Create(t.Context(), &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.101.0.0/16"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	awaitSite(t, d, "pod 10.1.0.0/16, pod 10.7.1.0/24, service 10.101.0.0/16")
	assert.Equal(t, map[string][]netip.Addr{
		"one": {netip.MustParseAddr("192.0.2.1")}, "two-example": {netip.MustParseAddr("192.0.2.2")},
	}, d.Addresses())
}

// refuse makes the API server answer with err to all that is asked of a resource.
func refuse(client *fake.Clientset, resource string, err error) {
	client.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

func TestDiscoveryDoesWithoutWhatIsRefused(t *testing.T) {
	client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
	cidrs := schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
	refuse(client, "servicecidrs", apierrors.NewNotFound(cidrs, ""))
	awaitSite(t, start(t, client, t.TempDir()), "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")

	client = fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"))
	refuse(client, "configmaps", apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, kubeadmName, errors.New("no role")))
	d := start(t, client, t.TempDir())
	awaitSite(t, d, "pod 10.1.0.0/24, service-cidrs-unknown")
	assert.Contains(t, d.Current().Problems[0].Message, "forbidden")
}

func TestDiscoveryStartsWithoutTheAPIServer(t *testing.T) {
	dir := t.TempDir()
	client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"), kubeadmConfig())
	first := start(t, client, dir)
	awaitSite(t, first, "pod 10.1.0.0/16, service 10.96.0.0/12, service fd00:96::/112")

	away := fake.NewClientset()
	refuse(away, "*", errors.New("connection refused"))
	fresh, err := NewDiscovery(DiscoveryConfig{Client: away, Kubernetes: settings(), Dir: t.TempDir()})
	require.NoError(t, err)
	assert.False(t, fresh.Current().Known, "nothing is known, and nothing may follow from it")
	again := start(t, away, dir)
	assert.True(t, again.Current().Known)
	assert.Equal(t, first.Current(), again.Current())
	assert.Equal(t, first.Addresses(), again.Addresses())
}

func TestDiscoveryWaitsForAllSources(t *testing.T) {
	client := fake.NewClientset(apiNode("one", "10.1.0.0/24", "192.0.2.1"))
	refuse(client, "servicecidrs", errors.New("connection refused"))
	d := start(t, client, t.TempDir())
	require.Eventually(t, d.nodes.Synced, 10*time.Second, time.Millisecond)
	require.Eventually(t, d.kubeadm.Synced, 10*time.Second, time.Millisecond)
	d.discover()
	assert.False(t, d.Current().Known)
}

func TestRoleFollowsTheLabel(t *testing.T) {
	dir := t.TempDir()
	node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
	client := fake.NewClientset(node, apiNode("two", "10.1.1.0/24", "192.0.2.2"))
	w, err := NewRoleWatcher(RoleConfig{Client: client, Kubernetes: settings(), Dir: dir})
	require.NoError(t, err)
	assert.Equal(t, RoleUnknown, w.Current())
	run(t, w.Run)
	await := func(role Role) {
		t.Helper()
		require.Eventually(t, func() bool { return w.Current() == role }, 10*time.Second, time.Millisecond)
	}
	await(RoleNode)
	for _, step := range []struct {
		label string
		role  Role
	}{{"true", RoleGateway}, {"false", RoleNode}, {"true", RoleGateway}} {
		node.Labels["meshway.io/gateway"] = step.label
		_, err = client.CoreV1().Nodes().Update(t.Context(), node.DeepCopy(), metav1.UpdateOptions{})
		require.NoError(t, err)
		await(step.role)
	}
	require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "one", metav1.DeleteOptions{}))
	again, err := NewRoleWatcher(RoleConfig{Client: fake.NewClientset(), Kubernetes: settings(), Dir: dir})
	require.NoError(t, err)
	assert.Equal(t, RoleGateway, again.Current(), "known before the API server answers")
	run(t, again.Run)
	require.Eventually(t, again.node.Synced, 10*time.Second, time.Millisecond)
	again.refresh()
	assert.Equal(t, RoleGateway, again.Current(), "a Node that is missing changes nothing")
}

func TestNodeTellsWhatItsOwnNodeHasForPods(t *testing.T) {
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
		require.Eventually(t, func() bool {
			spec, annotated := w.Pods()
			return assert.ObjectsAreEqual(cidrs("10.1.0.0/24"), spec) && assert.ObjectsAreEqual(cidrs(strings.Fields(step.annotated)...), annotated)
		}, 10*time.Second, time.Millisecond, step.annotation)
	}
}

func TestAnnotationThatIsNoPrefixIsRefusedAsAWhole(t *testing.T) {
	node := apiNode("one", "10.1.0.0/24", "192.0.2.1")
	node.Annotations = map[string]string{plan.PodCIDRsAnnotation: "10.1.7.0/24,ten"}
	list, err := annotatedPods(node)
	assert.Empty(t, list)
	assert.ErrorContains(t, err, `annotation meshway.io/pod-cidrs of node one`)
	slim, err := slimNode(node)
	require.NoError(t, err)
	_, err = annotatedPods(slim.(*corev1.Node))
	assert.Error(t, err, "what is dropped of a Node is not the annotation")
}
