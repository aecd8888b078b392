//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// sharedServiceManifest is an exported service and its server, whose readiness
// the test controls with a readiness gate.
const sharedServiceManifest = `
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, labels: {app: both}}
spec:
  terminationGracePeriodSeconds: 0
  readinessGates: [{conditionType: meshway.test/up}]
  containers: [{name: echo, image: meshway.test/echo:1, imagePullPolicy: Never}]
---
apiVersion: v1
kind: Service
metadata: {name: both, namespace: shop}
spec:
  selector: {app: both}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: both, namespace: shop}
`

// setReady sets the readiness gate of a pod.
func (tb *testbed) setReady(t *testing.T, c *cluster.Cluster, pod string, setReady bool) {
	t.Helper()
	status := "False"
	if setReady {
		status = "True"
	}
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"meshway.test/up","status":%q}]}}`, status)
	_, err := c.Client().CoreV1().Pods("shop").Patch(within(t, timeout), pod, types.StrategicMergePatchType,
		[]byte(patch), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
}

func (tb *testbed) testFailover(t *testing.T, all map[*cluster.Cluster]workloads) {
	east, west := tb.clusters[0], tb.clusters[1]
	for _, c := range []*cluster.Cluster{east, west} {
		require.NoError(t, c.Apply(within(t, timeout), fmt.Sprintf(sharedServiceManifest, c.Name())))
	}
	bothClusters := []string{"east", "west"}
	for _, step := range []struct {
		affinity       string
		up             map[string]bool
		inEast, inWest []string
	}{
		{"none", map[string]bool{"east": true, "west": true}, bothClusters, bothClusters},
		{"none", map[string]bool{"east": false, "west": true}, []string{"west"}, []string{"west"}},
		{"local", map[string]bool{"east": false, "west": true}, []string{"west"}, []string{"west"}},
		{"local", map[string]bool{"east": true, "west": true}, []string{"east"}, []string{"west"}},
		{"remote", map[string]bool{"east": true, "west": true}, []string{"west"}, []string{"east"}},
		{"remote", map[string]bool{"east": true, "west": false}, []string{"east"}, []string{"east"}},
		{"none", map[string]bool{"east": false, "west": false}, []string{"none"}, []string{"none"}},
	} {
		for _, c := range []*cluster.Cluster{east, west} {
			tb.exec(t, "kubectl", "--context", c.Name(), "-n", "shop", "annotate", "--overwrite", "serviceexport/both", "meshway.io/affinity="+step.affinity)
			tb.setReady(t, c, c.Name(), step.up[c.Name()])
		}
		for c, want := range map[*cluster.Cluster][]string{east: step.inEast, west: step.inWest} {
			tb.await(t, fmt.Sprintf("affinity %s, ready %v", step.affinity, step.up), func(ctx context.Context) error {
				return all[c].clients[0].checkServers(ctx, "http://both.shop.svc.clusterset.local/", want...)
			})
		}
	}
	tb.testCut(t, all)
	for _, c := range []*cluster.Cluster{east, west} {
		tb.exec(t, "kubectl", "--context", c.Name(), "-n", "shop", "delete", "serviceexport/both", "service/both", "pod/"+c.Name())
	}
}

// testCut separates the second cluster from all others. Clients of the others do
// not use its endpoints any longer, and its own clients use only those.
func (tb *testbed) testCut(t *testing.T, all map[*cluster.Cluster]workloads) {
	lost := tb.clusters[1]
	awaitServers := func(what string, want func(*cluster.Cluster) []string) {
		t.Helper()
		for _, c := range tb.clusters {
			tb.await(t, what+": "+c.Name(), func(ctx context.Context) error {
				return all[c].clients[0].checkServers(ctx, "http://both.shop.svc.clusterset.local/", want(c)...)
			})
		}
	}
	both := func(*cluster.Cluster) []string { return []string{"east", "west"} }
	for _, c := range tb.clusters[:2] {
		tb.setReady(t, c, c.Name(), true)
	}
	awaitServers("all clusters are reachable", both)
	router := tb.lab.Router()
	for _, c := range tb.clusters {
		for i := range c.Options().Underlay {
			if c != lost {
				require.NoError(t, router.Drop(within(t, timeout), lost.Options().Underlay[i], c.Options().Underlay[i]))
			}
		}
	}
	defer func() { assert.NoError(t, router.Heal(context.WithoutCancel(t.Context()))) }()
	awaitServers("a cluster is separated", func(c *cluster.Cluster) []string {
		if c == lost {
			return []string{"west"}
		}
		return []string{"east"}
	})
	require.NoError(t, router.Heal(within(t, timeout)))
	awaitServers("the cluster is reachable again", both)
}

const exportedServiceManifest = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %s}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: echo}
  ports: [{port: 80, targetPort: 8080}]
`

// testStoppedAPIServer kills the API server of the second cluster and then the
// agents on its nodes, which must start without it.
func (tb *testbed) testStoppedAPIServer(t *testing.T, all map[*cluster.Cluster]workloads) {
	east, west := tb.clusters[0], tb.clusters[1]
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "early")))
	imported := "http://" + tb.importedAddress(t, west, "early") + "/"
	// The client is a node, because kubectl exec does not work without the API server.
	// Its kube-proxy reads the endpoints later than the import gets its address.
	node := all[west].clients[3]
	tb.await(t, node.name+" reaches the imported service", func(ctx context.Context) error {
		_, err := node.exec(ctx, "curl -sS -o /dev/null --max-time 2 '"+imported+"'")
		return err
	})
	before := tb.routes(t, west)

	require.NoError(t, west.Nodes()[0].Stop("kube-apiserver"))
	defer func() {
		if t.Failed() { // the following subtests need the API server
			_ = west.Nodes()[0].Start("kube-apiserver") // fails if it runs again
		}
	}()
	stopIn := tb.startRequests(t, all[east].clients[2], all[west].targets[len(all[west].targets)/2].url)
	stopOut := tb.startRequests(t, node, imported)
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "late")))
	tb.exec(t, "kubectl", "--context", east.Name(), "delete", "serviceexport/early")
	tb.restartAgent(t, west.Nodes()[0], "readyz")
	tb.restartAgent(t, west.Nodes()[1], "healthz") // a node is not ready before it has read the inventory
	tb.await(t, "the gateway lists the members again", func(ctx context.Context) error {
		out, err := west.Nodes()[0].Exec(ctx, tb.meshctl, "members", "-o", "wide")
		if err == nil && !strings.Contains(out, east.Name()) {
			err = errors.New(out)
		}
		return err
	})
	assert.Equal(t, before, tb.routes(t, west), "routes are neither withdrawn nor changed")
	assert.Empty(t, stopIn(), "requests to the cluster")
	assert.Empty(t, stopOut(), "requests from the cluster, to an imported service")

	require.NoError(t, west.Nodes()[0].Start("kube-apiserver"))
	require.NoError(t, west.AwaitAPI(within(t, timeout)))
	tb.importedAddress(t, west, "late")
	tb.await(t, "the import of the deleted export is removed", func(ctx context.Context) error {
		out, err := west.Kubectl(ctx, "get", "serviceimports", "-o", "name")
		if err == nil && strings.Contains(out, "early") {
			err = errors.New(out)
		}
		return err
	})
	tb.testInventory(t)
	tb.exec(t, "kubectl", "--context", east.Name(), "delete", "serviceexport/late", "service/late", "service/early")
}

// importedAddress waits for the clusterset IP of a service in the namespace
// default and returns it.
func (tb *testbed) importedAddress(t *testing.T, c *cluster.Cluster, name string) (address string) {
	t.Helper()
	tb.await(t, name+" has a clusterset IP in "+c.Name(), func(ctx context.Context) (err error) {
		address, err = c.Kubectl(ctx, "get", "serviceimport", name, "-o", "jsonpath={.spec.ips[0]}")
		if address = strings.TrimSpace(address); err == nil && address == "" {
			err = errors.New("there is no clusterset IP")
		}
		return err
	})
	return address
}

// routes returns Meshway's routes on each node.
func (tb *testbed) routes(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	list := map[string]string{}
	for _, node := range c.Nodes() {
		out, err := node.Exec(within(t, timeout), "sh", "-c", showRoutes)
		require.NoError(t, err)
		list[node.Name] = out
	}
	return list
}

// restartAgent kills the agent on a node, as the kernel does when memory is
// exhausted, and waits until kubelet has started it again and a probe succeeds.
func (tb *testbed) restartAgent(t *testing.T, node *cluster.Node, probe string) {
	t.Helper()
	agent := func(ctx context.Context) (string, error) {
		// The oldest: a program that the agent starts has its command line until exec.
		out, err := node.Exec(ctx, "pgrep", "-o", "-f", "^/usr/bin/meshd run ")
		return strings.TrimSpace(out), err
	}
	old, err := agent(within(t, timeout))
	require.NoError(t, err)
	_, err = node.Exec(within(t, timeout), "kill", "-9", old)
	require.NoError(t, err)
	tb.await(t, "the agent of "+node.Name+" answers again", func(ctx context.Context) error {
		now, err := agent(ctx)
		if err == nil && now == old {
			err = errors.New("the process has not exited")
		}
		if err != nil {
			return err
		}
		_, err = node.Exec(ctx, "curl", "-sSf", "--max-time", "2", "http://127.0.0.1:9443/"+probe)
		return err
	})
}
