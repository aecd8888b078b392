//go:build linux && root

package federation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// shop is a service with one server on the second node, which only routes.
const shop = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  nodeName: %s
  containers:
  - name: echo
    image: meshway.test/echo:1
    imagePullPolicy: Never
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

const export = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: web, namespace: shop}
`

const byName = "http://web.shop.svc.clusterset.local/"

// openShop makes the namespace everywhere, and the service in one cluster.
func (w *world) openShop(t *testing.T, in *cluster.Cluster) {
	t.Helper()
	for _, c := range w.clusters {
		w.run(t, "kubectl", "--context", c.Name(), "create", "namespace", "shop")
	}
	require.NoError(t, in.Apply(within(t, patience), fmt.Sprintf(shop, in.Nodes()[1].Name)))
}

func (w *world) testServices(t *testing.T) {
	first := w.clusters[0]
	w.openShop(t, first)
	require.NoError(t, w.federation.EnableDNS(t.Context()))
	require.NoError(t, first.Apply(within(t, patience), export))
	for _, c := range w.clusters {
		for pod := range c.Nodes() {
			w.await(t, fmt.Sprintf("%s, node %d, uses the service by name", c.Name(), pod+1), func(ctx context.Context) error {
				answer, err := w.ask(ctx, c, fmt.Sprintf("echo-%d", pod), byName)
				if err == nil && answer.Pod != "web" {
					err = fmt.Errorf("%s answers", answer.Pod)
				}
				return err
			})
		}
	}
	w.await(t, "the export is valid", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "-n", "shop", "get", "serviceexport", "web", "-o",
			`jsonpath={.status.conditions[?(@.type=="Valid")].status}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("Valid is %q", out)
		}
		return err
	})

	t.Run("an unready endpoint leaves the other cluster", func(t *testing.T) { w.testUnready(t) })
	t.Run("unexporting takes the name away", func(t *testing.T) {
		other := w.clusters[1]
		w.run(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "serviceexport", "web")
		w.await(t, "the import is gone", func(ctx context.Context) error {
			out, err := other.Kubectl(ctx, "-n", "shop", "get", "serviceimports,endpointslices", "-o", "name")
			if err == nil && strings.Contains(out, "/") {
				err = fmt.Errorf("there is %s", out)
			}
			return err
		})
	})
}

// testUnready deletes the only server and looks at the slices elsewhere.
func (w *world) testUnready(t *testing.T) {
	first, other := w.clusters[0], w.clusters[1]
	w.run(t, "kubectl", "--context", first.Name(), "-n", "shop", "delete", "pod", "web", "--now")
	w.await(t, "no endpoint is served", func(ctx context.Context) error {
		out, err := other.Kubectl(ctx, "-n", "shop", "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
}

// testLeave takes the last cluster out, with an export of the first imported there.
func (w *world) testLeave(t *testing.T) {
	first, last := w.clusters[0], w.clusters[len(w.clusters)-1]
	imported := func(ctx context.Context) (string, error) {
		return last.Kubectl(ctx, "get", "serviceimports,datacenters", "-A", "-o", "name")
	}
	require.NoError(t, first.Apply(within(t, patience), fmt.Sprintf(shop, first.Nodes()[1].Name)+"---"+export))
	w.await(t, "the import is there", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && !strings.Contains(out, "serviceimport") {
			err = fmt.Errorf("there is only %s", out)
		}
		return err
	})
	w.run(t, w.meshctl, "leave", "--yes", "--context", last.Name())
	w.await(t, "nothing of the federation is left", func(ctx context.Context) error {
		out, err := imported(ctx)
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there is %s", out)
		}
		return err
	})
	w.await(t, "the others know", func(ctx context.Context) error {
		out, err := first.Kubectl(ctx, "get", "datacenters", "-o", "name")
		if err == nil && strings.Contains(out, last.Name()) {
			err = fmt.Errorf("there is still %s", out)
		}
		return err
	})
}

func (w *world) testInventory(t *testing.T) {
	for _, c := range w.clusters {
		for _, of := range w.clusters {
			w.run(t, "kubectl", "--context", c.Name(), "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=60s")
		}
	}
	out := w.run(t, "kubectl", "--context", "east", "get", "datacenters")
	for _, c := range w.clusters {
		assert.Contains(t, out, c.Name())
	}
}

// testAgentRestart replaces every agent under a request each 50 ms.
func (w *world) testAgentRestart(t *testing.T, target string) {
	first, other := w.clusters[0], w.clusters[1]
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	lost := make(chan string, 1)
	go func() {
		out, err := other.Kubectl(ctx, "exec", "echo-0", "--", "sh", "-c",
			"for i in $(seq 1 300); do curl -sS -o /dev/null --max-time 2 "+target+" || echo lost; sleep 0.05; done")
		if err != nil {
			out += err.Error()
		}
		lost <- strings.TrimSpace(out)
	}()
	for _, c := range []*cluster.Cluster{first, other} {
		w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "restart", "daemonset/meshway")
		w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	}
	assert.Empty(t, <-lost, "a rolling update of the agents loses no request")
}
