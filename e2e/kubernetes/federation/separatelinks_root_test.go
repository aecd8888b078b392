//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// TestNodesOnSeparateLinksUseTunnels tests clusters whose nodes are not
// neighbours and whose network drops foreign source addresses, so that nodes need
// a tunnel to their gateway. In the second cluster, Nodes have no podCIDRs.
func TestNodesOnSeparateLinksUseTunnels(t *testing.T) {
	tb := newTestbed(t, func(n int, o *cluster.Options) {
		o.IPMasq = n == 0
		o.SeparateLinks = true
		o.OwnIPAM = n == 1
		*o = o.DualStack(n)
	})
	all := map[*cluster.Cluster]workloads{}
	for _, c := range tb.clusters {
		all[c] = tb.startWorkloads(t, c)
	}
	t.Run("pods and nodes reach pods, nodes and services of other clusters with their own address", func(t *testing.T) { tb.testTraffic(t, all) })
	t.Run("each node has a MeshNode with its tunnels", tb.testMeshNodes)
	t.Run("a node may not write the MeshNode of another node", tb.testForeignMeshNode)
	t.Run("a node reports the path to a destination", tb.testNodeStatus)
}

func (tb *testbed) testMeshNodes(t *testing.T) {
	for _, c := range tb.clusters {
		name := c.Nodes()[1].Name
		tb.await(t, name+" has a MeshNode", func(ctx context.Context) error {
			out, err := c.Kubectl(ctx, "get", "meshnode", name, "-o", "jsonpath={.spec.tunnels[*]} {.metadata.ownerReferences[*].name} {.spec.podCIDRs[*]}")
			want := c.Nodes()[0].Name + " " + name
			if c.Options().OwnIPAM {
				want += fmt.Sprintf(" %s %s", c.Nodes()[1].PodCIDRs[0], c.Nodes()[1].PodCIDRs[1])
			}
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("the MeshNode has %q, not %q", out, want)
			}
			return err
		})
		out := tb.exec(t, "kubectl", "--context", c.Name(), "get", "meshnodes", "-o", "name")
		assert.Equal(t, "meshnode.meshway.io/"+name, strings.TrimSpace(out), "a gateway has no MeshNode")
	}
}

func (tb *testbed) testNodeStatus(t *testing.T) {
	here, there := tb.clusters[0], tb.clusters[1]
	node, gateway := here.Nodes()[1].Name, here.Nodes()[0].Name
	meshctl := func(args ...string) string {
		return tb.exec(t, append([]string{tb.meshctl, "--context", here.Name(), "--node", node}, args...)...)
	}
	assert.Contains(t, meshctl("status", "-o", "wide"), here.Name()+"/"+gateway+"  tunnel mesh0")
	for _, address := range tb.addresses(t, there, "pod", "echo-0", "{.status.podIPs[*].ip}") {
		assert.Contains(t, meshctl("routes", address.String()), "packets to it go through mesh0 to "+here.Name()+"/"+gateway)
	}
}

// testForeignMeshNode uses the permissions of the agent on the second node.
func (tb *testbed) testForeignMeshNode(t *testing.T) {
	c := tb.clusters[0]
	config := c.REST()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":meshway",
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {c.Nodes()[1].Name}},
	}
	agent, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	nodes := agent.Resource(schema.GroupVersionResource{Group: "meshway.io", Version: "v1alpha1", Resource: "meshnodes"})
	own, err := nodes.List(within(t, timeout), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, own.Items, 1)
	foreign := own.Items[0].DeepCopy()
	foreign.SetName(c.Nodes()[0].Name)
	foreign.SetResourceVersion("")
	foreign.SetUID("")
	_, err = nodes.Create(within(t, timeout), foreign, metav1.CreateOptions{})
	assert.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.ErrorContains(t, err, "may not write or delete the MeshNode of another node")
	orphan := own.Items[0].DeepCopy()
	orphan.SetOwnerReferences(nil)
	_, err = nodes.Update(within(t, timeout), orphan, metav1.UpdateOptions{})
	assert.True(t, apierrors.IsInvalid(err), "%v", err)
}
