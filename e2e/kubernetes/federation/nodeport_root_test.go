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

	away = `
apiVersion: v1
kind: Service
metadata: {name: away}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  ports: [{port: 80, targetPort: 8080, nodePort: %d}]
`
	awaySlice = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: away-%[1]d, labels: {kubernetes.io/service-name: away}}
addressType: %[2]s
ports: [{port: 8080, name: ""}]
endpoints: [{addresses: [%[3]q], conditions: {ready: true}}]
`
)

// testNodePort gives each cluster a Service whose only endpoint is in the other,
// and asks for it at each node of the cluster, from everywhere in it.
func (w *world) testNodePort(t *testing.T, sites map[*cluster.Cluster]site) {
	pairs := map[*cluster.Cluster]*cluster.Cluster{w.clusters[0]: w.clusters[1], w.clusters[1]: w.clusters[0]}
	for here, there := range pairs {
		manifests := fmt.Sprintf(away, nodePort)
		for i, a := range w.addresses(t, there, "pod", "echo-1", "{.status.podIPs[*].ip}") {
			family := map[bool]string{false: "IPv4", true: "IPv6"}[a.Is6()]
			manifests += fmt.Sprintf(awaySlice, i, family, a)
		}
		require.NoError(t, here.Apply(within(t, patience), manifests))
		var urls []string
		for _, node := range here.Nodes() {
			for _, a := range node.Addresses {
				urls = append(urls, "http://"+netip.AddrPortFrom(a, nodePort).String()+"/")
			}
		}
		for _, p := range sites[here].places {
			w.awaitFor(t, patience/3, p.name+" is answered at each node", func(ctx context.Context) error {
				var errs []error
				for _, url := range urls {
					out, err := p.sh(ctx, "curl -sS --max-time 3 '"+url+"' 2>&1 || true")
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
		w.run(t, "kubectl", "--context", here.Name(), "delete", "service", "away")
		w.run(t, "kubectl", "--context", here.Name(), "delete", "endpointslices", "-l", "kubernetes.io/service-name=away")
	}
}
