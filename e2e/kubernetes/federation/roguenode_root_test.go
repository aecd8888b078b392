//go:build linux && root

package federation_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// restrictedLabel is the label of gateways that the chart recommends.
const restrictedLabel = "node-restriction.kubernetes.io/meshway-gateway"

// holder is a client of the API server with the credentials of one program.
type holder struct {
	name    string
	config  *rest.Config
	kube    kubernetes.Interface
	objects dynamic.Interface
}

func newHolder(t *testing.T, name string, config *rest.Config) holder {
	t.Helper()
	h := holder{name: name, config: config}
	var err error
	h.kube, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	h.objects, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	return h
}

// with returns a client with a token of a service account.
func (h holder) with(t *testing.T, name, token string) holder {
	t.Helper()
	config := rest.AnonymousClientConfig(h.config)
	config.BearerToken = token
	return newHolder(t, name, config)
}

// program returns a client with the credentials that a program of a node has in its file.
func program(t *testing.T, n *cluster.Node, name string) holder {
	t.Helper()
	config, err := n.REST(name)
	require.NoError(t, err)
	return newHolder(t, name+" of "+n.Name, config)
}

// agentOf returns the pod of the agent on a node, which the kubelet of the node may read.
func agentOf(t *testing.T, kubelet holder, node string) corev1.Pod {
	t.Helper()
	pods, err := kubelet.kube.CoreV1().Pods(namespace).List(within(t, timeout), metav1.ListOptions{
		LabelSelector: "meshway.io/agent", FieldSelector: "spec.nodeName=" + node,
	})
	require.NoError(t, err)
	require.Len(t, pods.Items, 1, "agents on %s", node)
	return pods.Items[0]
}

// mountedToken returns a client with the token that the kubelet mounted into the pod of
// the agent on a node.
func mountedToken(t *testing.T, n *cluster.Node) holder {
	t.Helper()
	kubelet := program(t, n, cluster.Kubelet)
	volumes := "/var/lib/kubelet/pods/" + string(agentOf(t, kubelet, n.Name).UID) + "/volumes/kubernetes.io~projected"
	token, err := n.Exec(within(t, timeout), "sh", "-c", "cat "+volumes+"/*/token")
	require.NoError(t, err)
	return kubelet.with(t, "mounted token of the agent of "+n.Name, strings.TrimSpace(token))
}

// requestToken requests a token of a service account, bound to a pod unless it is nil.
func requestToken(ctx context.Context, h holder, account string, pod *corev1.Pod) (string, error) {
	request := &authenticationv1.TokenRequest{}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	answer, err := h.kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

// rogue is a cluster of three nodes: a gateway, another node, and one on which an
// intruder is root.
type rogue struct {
	east                *cluster.Cluster
	gateway, other, own *cluster.Node
	admin               holder
}

func newRogue(t *testing.T) rogue {
	t.Helper()
	tb := newClusters(t, 1, func(_ int, o *cluster.Options) { o.Nodes = 3 })
	east := tb.clusters[0]
	r := rogue{east: east, gateway: east.Nodes()[0], other: east.Nodes()[1], own: east.Nodes()[2], admin: newHolder(t, "admin", east.REST())}
	tb.exec(t, "kubectl", "--context", east.Name(), "label", "node", r.gateway.Name, restrictedLabel+"=true")
	tb.exec(t, "kubectl", "--context", east.Name(), "create", "namespace", namespace)
	tb.exec(t, "kubectl", "--context", east.Name(), "-n", namespace, "create", "secret", "generic", "programs",
		"--from-literal=tokens=deployer write w0123456789abcdef0123456789abcdef")
	require.NoError(t, tb.InstallChart(within(t, 2*timeout), east,
		"--set", "gateways.label="+restrictedLabel+"=true", "--set", "catalog.tokensSecret.name=programs"))
	require.NoError(t, tb.AwaitAgent(within(t, timeout), east))
	tb.exec(t, tb.meshctl, "init", "--context", east.Name())
	require.NoError(t, tb.AwaitRollout(within(t, 2*timeout), east))
	for _, n := range []*cluster.Node{r.other, r.own} {
		tb.exec(t, "kubectl", "--context", east.Name(), "wait", "meshnode/"+n.Name, "--for=create", "--timeout=60s")
	}
	return r
}

// intruders returns clients with all credentials that an intruder finds on its node or
// obtains with them.
func (r rogue) intruders(t *testing.T) (kubelet, proxy, mounted, requested holder) {
	t.Helper()
	kubelet, proxy, mounted = program(t, r.own, cluster.Kubelet), program(t, r.own, cluster.KubeProxy), mountedToken(t, r.own)
	pods, err := kubelet.kube.CoreV1().Pods(namespace).List(within(t, timeout), metav1.ListOptions{FieldSelector: "spec.nodeName=" + r.own.Name})
	require.NoError(t, err)
	for _, p := range pods.Items {
		assert.Equal(t, "meshway", p.Spec.ServiceAccountName, "the account of %s", p.Name)
	}
	agent := agentOf(t, kubelet, r.own.Name)
	token, err := requestToken(within(t, timeout), kubelet, "meshway", &agent)
	require.NoError(t, err, "a kubelet may request tokens for the pods on its node")
	return kubelet, proxy, mounted, kubelet.with(t, "requested token", token)
}

func TestAnIntruderOnANodeThatIsNoGatewayWritesOnlyTheMeshNodeOfThisNode(t *testing.T) {
	r := newRogue(t)
	kubelet, proxy, mounted, requested := r.intruders(t)
	attempts := r.attempts(t)
	for _, intruder := range []holder{kubelet, proxy, mounted, requested} {
		t.Run("with the "+intruder.name, func(t *testing.T) {
			for _, a := range attempts {
				err := a.do(within(t, timeout), intruder)
				assert.True(t, apierrors.IsForbidden(err), "%s: %v", a.what, err)
				t.Logf("%s: %v", a.what, err)
			}
		})
	}
	t.Run("the token of an agent permits to write the MeshNode of its own node", func(t *testing.T) {
		for _, token := range []holder{mounted, requested} {
			r.testOwnMeshNode(t, token)
		}
	})
	t.Run("a token that names no node permits to write no MeshNode", func(t *testing.T) {
		token, err := requestToken(within(t, timeout), r.admin, "meshway", nil)
		require.NoError(t, err)
		err = r.admin.with(t, "unbound token", token).objects.Resource(meshnode.Kind().Resource()).Delete(within(t, timeout), r.own.Name, dryDelete())
		assert.True(t, apierrors.IsForbidden(err), "%v", err)
	})
	t.Run("a kubelet may set labels that are not restricted, and addresses", func(t *testing.T) { r.testOwnNode(t, kubelet) })
	t.Run("the token of a gateway permits to write only what has the label of Meshway", func(t *testing.T) { r.testGateway(t, mountedToken(t, r.gateway)) })
}

// testOwnMeshNode writes the MeshNode of the node of a token.
func (r rogue) testOwnMeshNode(t *testing.T, token holder) {
	objects, ctx := token.objects.Resource(meshnode.Kind().Resource()), within(t, timeout)
	list, err := objects.List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 2, "the nodes that are no gateways")
	own, err := r.admin.objects.Resource(meshnode.Kind().Resource()).Get(ctx, r.own.Name, metav1.GetOptions{})
	require.NoError(t, err)
	_, err = objects.Update(ctx, own, dryUpdate())
	require.NoError(t, err)
	require.NoError(t, objects.Delete(ctx, r.own.Name, dryDelete()))
	own.SetOwnerReferences(nil)
	_, err = objects.Update(ctx, own, dryUpdate())
	assert.True(t, apierrors.IsInvalid(err), "without its owner it outlives its Node: %v", err)
}

// testOwnNode tests what the threat model states that an intruder can do: it is why the
// chart recommends a restricted label.
func (r rogue) testOwnNode(t *testing.T, kubelet holder) {
	patch := func(text string, subresource ...string) error {
		_, err := kubelet.kube.CoreV1().Nodes().Patch(within(t, timeout), r.own.Name, types.StrategicMergePatchType, []byte(text), dryPatch(), subresource...)
		return err
	}
	require.NoError(t, patch(`{"metadata":{"labels":{"`+gatewayLabel+`":"true"}}}`))
	require.NoError(t, patch(`{"status":{"addresses":[{"type":"InternalIP","address":"10.99.0.1"}]}}`, "status"))
	assert.True(t, apierrors.IsInvalid(patch(`{"spec":{"podCIDR":"10.99.0.0/24","podCIDRs":["10.99.0.0/24"]}}`)), "Kubernetes assigned other ranges")
}

// testGateway uses the credentials of an intruder on a gateway.
func (r rogue) testGateway(t *testing.T, gateway holder) {
	ctx := within(t, timeout)
	_, err := gateway.kube.CoreV1().Secrets(namespace).Get(ctx, "meshway-identity", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = gateway.kube.CoreV1().Secrets(namespace).Get(ctx, "programs", metav1.GetOptions{})
	assert.True(t, apierrors.IsForbidden(err), "a Secret that the API server gives to the kubelet only: %v", err)
	for _, a := range r.unlabelled(t) {
		err := a.do(ctx, gateway)
		assert.True(t, apierrors.IsForbidden(err), "%s: %v", a.what, err)
		if err != nil {
			assert.Contains(t, err.Error(), "ValidatingAdmissionPolicy", a.what)
		}
	}
	require.NoError(t, gateway.objects.Resource(meshnode.Kind().Resource()).Delete(ctx, r.own.Name, dryDelete()), "an uninstallation removes all")
}
