//go:build linux

package install

import (
	"context"
	"errors"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// EnableDNS gives every cluster's DNS the zone clusterset.local, and waits
// until it answers for it.
func (f *Federation) EnableDNS(ctx context.Context) error {
	for _, c := range f.Clusters {
		err := f.run(ctx,
			[]string{f.Meshctl, "dns", "enable", "--context", c.Name()},
			// Faster than CoreDNS's own reload, which takes up to 90 s.
			[]string{"kubectl", "--context", c.Name(), "-n", "kube-system", "rollout", "restart", "deployment/coredns"},
			[]string{"kubectl", "--context", c.Name(), "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s"})
		if err != nil {
			return err
		}
	}
	for _, c := range f.Clusters {
		if err := awaitZone(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// awaitZone waits for the one name that the zone always has.
func awaitZone(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return harness.Wait(ctx, "clusterset.local resolves in "+c.Name(), func(ctx context.Context) error {
		server, err := c.Kubectl(ctx, "-n", "kube-system", "get", "service", "kube-dns", "-o", "jsonpath={.spec.clusterIP}")
		if err != nil {
			return err
		}
		answer, err := c.Nodes()[0].Exec(ctx, "dig", "+short", "+time=1", "+tries=1", "@"+server, "TXT", "dns-version.clusterset.local")
		if err == nil && answer == "" {
			err = errors.New("no answer")
		}
		return err
	})
}
