//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

const (
	nodePort = 30080

	nodePortManifest = `
apiVersion: v1
kind: Service
metadata: {name: away}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  ports: [{port: 80, targetPort: 8080, nodePort: %d}]
`
	remoteSliceManifest = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: away-%[1]d, labels: {kubernetes.io/service-name: away}}
addressType: %[2]s
ports: [{port: 8080, name: ""}]
endpoints: [{addresses: [%[3]q], conditions: {ready: true}}]
`
)

// testNodePort creates a NodePort Service in each cluster whose only endpoint is
// in the other one, and sends requests to each node of the cluster from all its
// clients.
func (tb *testbed) testNodePort(t *testing.T, all map[*cluster.Cluster]workloads) {
	pairs := map[*cluster.Cluster]*cluster.Cluster{tb.clusters[0]: tb.clusters[1], tb.clusters[1]: tb.clusters[0]}
	for here, there := range pairs {
		manifests := fmt.Sprintf(nodePortManifest, nodePort)
		for i, a := range tb.addresses(t, there, "pod", "echo-1", "{.status.podIPs[*].ip}") {
			family := map[bool]string{false: "IPv4", true: "IPv6"}[a.Is6()]
			manifests += fmt.Sprintf(remoteSliceManifest, i, family, a)
		}
		require.NoError(t, here.Apply(within(t, timeout), manifests))
		var urls []string
		for _, node := range here.Nodes() {
			for _, a := range node.Addresses {
				urls = append(urls, "http://"+netip.AddrPortFrom(a, nodePort).String()+"/")
			}
		}
		for _, from := range all[here].clients {
			tb.awaitFor(t, timeout/3, from.name+" receives answers from each node", func(ctx context.Context) error {
				var errs []error
				for _, url := range urls {
					out, err := from.exec(ctx, "curl -sS --max-time 3 '"+url+"' 2>&1 || true")
					if err == nil && !strings.Contains(out, `"pod":"echo-1"`) {
						err = errors.New(out)
					}
					if err != nil {
						errs = append(errs, fmt.Errorf("%s: %w", url, err))
					}
				}
				return errors.Join(errs...)
			})
		}
		tb.exec(t, "kubectl", "--context", here.Name(), "delete", "service", "away")
		tb.exec(t, "kubectl", "--context", here.Name(), "delete", "endpointslices", "-l", "kubernetes.io/service-name=away")
	}
}
