//go:build linux && root

package federation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshway/meshway/agent/kube/meshnode"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// as returns a client with the permissions of a service account of the chart.
func as(t *testing.T, c *cluster.Cluster, account string) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(impersonating(c, account, ""))
	require.NoError(t, err)
	return client
}

// impersonating returns the configuration of a client with a service account of the chart,
// as the token of a pod on a node has it.
func impersonating(c *cluster.Cluster, account, node string) *rest.Config {
	config := c.REST()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	if node != "" {
		config.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	return config
}

// testRogueMeshNodes deletes a MeshNode with the tokens of pods on its own node, on another
// one and on a gateway. Nothing is deleted.
func testRogueMeshNodes(t *testing.T, east *cluster.Cluster) {
	own, other := east.Nodes()[2].Name, east.Nodes()[0].Name
	dry := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
	remove := func(account, node string) error {
		client, err := dynamic.NewForConfig(impersonating(east, account, node))
		require.NoError(t, err)
		return client.Resource(meshnode.Kind().Resource()).Delete(within(t, timeout), own, dry)
	}
	assert.True(t, apierrors.IsForbidden(remove("meshway", other)), "the MeshNode of another node")
	assert.True(t, apierrors.IsForbidden(remove("meshway", "")), "without a node")
	require.NoError(t, remove("meshway", own))
	require.NoError(t, remove("meshway-gateway", other), "an uninstallation removes all")
}

// testRogueNode uses the permissions of the service accounts of the pods on east's
// third node, and then those of a gateway.
func (tb *testbed) testRogueNode(t *testing.T) {
	east := tb.clusters[0]
	accounts := tb.exec(t, "kubectl", "--context", east.Name(), "-n", namespace, "get", "pods", "--field-selector", "spec.nodeName="+east.Nodes()[2].Name,
		"-o", "jsonpath={range .items[*]}{.spec.serviceAccountName} {end}")
	assert.Equal(t, "meshway meshway ", accounts, "the agent and the data plane")
	testRogueMeshNodes(t, east)
	ctx := within(t, timeout)
	forbidden := func(what string, err error) { assert.True(t, apierrors.IsForbidden(err), "%s: %v", what, err) }

	node := as(t, east, "meshway")
	_, err := node.CoreV1().Secrets(namespace).Get(ctx, "meshway-identity", metav1.GetOptions{})
	forbidden("get the identity", err)
	_, err = node.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	forbidden("list Secrets", err)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "rogue"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	service.Labels = map[string]string{"app.kubernetes.io/managed-by": "meshway"}
	_, err = node.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{})
	forbidden("create a Service", err)
	slices, err := east.Client().DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	require.NoError(t, err)
	require.NotEmpty(t, slices.Items)
	foreign := &slices.Items[0]
	forbidden("delete an EndpointSlice", node.DiscoveryV1().EndpointSlices("default").Delete(ctx, foreign.Name, metav1.DeleteOptions{}))
	_, err = node.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "meshway-gateway", nil, metav1.CreateOptions{})
	forbidden("create a token of the gateways", err)

	gateway := as(t, east, "meshway-gateway")
	_, err = gateway.CoreV1().Secrets(namespace).Get(ctx, "meshway-identity", metav1.GetOptions{})
	require.NoError(t, err)
	forbidden("delete a foreign EndpointSlice", gateway.DiscoveryV1().EndpointSlices("default").Delete(ctx, foreign.Name, metav1.DeleteOptions{}))
	stolen := foreign.DeepCopy()
	stolen.Labels[discoveryv1.LabelManagedBy] = "meshway"
	_, err = gateway.DiscoveryV1().EndpointSlices("default").Update(ctx, stolen, metav1.UpdateOptions{})
	forbidden("take over a foreign EndpointSlice", err)
	service.Labels = nil
	_, err = gateway.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{})
	forbidden("create a Service without the label", err)
}
