//go:build linux

package install

import (
	"context"
	"errors"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// EnableDNS adds the zone clusterset.local to the DNS of every cluster and waits
// until it answers.
func (f *Federation) EnableDNS(ctx context.Context) error {
	for _, c := range f.Clusters {
		// CoreDNS's own reload would take up to two minutes.
		err := f.run(ctx, []string{f.Meshctl, "dns", "enable", "--restart", "--context", c.Name()})
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

// awaitZone waits until the zone's version record resolves.
func awaitZone(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
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
