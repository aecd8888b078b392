//go:build linux

package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// ShopURL is the URL of the service of the README's example.
const ShopURL = "http://web.shop.svc.clusterset.local/"

// shopManifest is a service with one server on a given node.
const shopManifest = `
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
  ipFamilyPolicy: PreferDualStack
  ports: [{name: http, port: 80, targetPort: 8080}]
`

const clientManifest = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec:
  containers:
  - name: client
    image: meshway.test/echo:1
    imagePullPolicy: Never
    command: [sleep, inf]
`

// CreateShop creates the namespace shop in all clusters and the service web in
// the first one, with its server on the last node.
func (f *Federation) CreateShop(ctx context.Context) error {
	for _, c := range f.Clusters {
		if err := f.run(ctx, []string{"kubectl", "--context", c.Name(), "create", "namespace", "shop"}); err != nil {
			return err
		}
	}
	return f.StartShop(ctx)
}

// StartShop creates the server and the service in the first cluster if they are
// missing.
func (f *Federation) StartShop(ctx context.Context) error {
	first := f.Clusters[0]
	return first.Apply(ctx, fmt.Sprintf(shopManifest, first.Nodes()[len(first.Nodes())-1].Name))
}

// Export exports the service with the README's example manifest.
func (f *Federation) Export(ctx context.Context) error {
	root, err := chart.Root(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/examples/kubernetes/serviceexport.yaml"))
	if err != nil {
		return fmt.Errorf("read example: %w", err)
	}
	return f.Clusters[0].Apply(ctx, string(text))
}

// AwaitShop starts a client pod in a cluster and waits until it reaches the
// service by name.
func (f *Federation) AwaitShop(ctx context.Context, c *cluster.Cluster) error {
	if err := c.Apply(ctx, clientManifest); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return harness.Wait(ctx, "a pod of "+c.Name()+" reaches the service", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, "-n", "shop", "exec", "client", "--", "curl", "-sS", "--max-time", "3", ShopURL)
		return err
	})
}
