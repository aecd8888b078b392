//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// testRemoval separates the last cluster from all others, removes its datacenter
// with the first one, reconnects it, and joins it again.
func (tb *testbed) testRemoval(t *testing.T, all map[*cluster.Cluster]workloads) {
	first, last := tb.clusters[0], tb.clusters[len(tb.clusters)-1]
	router := tb.lab.Router()
	for _, c := range tb.clusters {
		for i := range c.Options().Underlay {
			if c != last {
				require.NoError(t, router.Drop(within(t, timeout), last.Options().Underlay[i], c.Options().Underlay[i]))
			}
		}
	}
	defer func() { assert.NoError(t, router.Heal(context.WithoutCancel(t.Context()))) }()
	remove := []string{tb.meshctl, "datacenter", "remove", last.Name(), "--yes", "--context", first.Name()}
	_, err := tb.lab.Exec(within(t, timeout), remove...)
	require.Error(t, err, "a datacenter that was reachable recently is not removed without --force")
	tb.exec(t, append(remove, "--force")...)
	for _, c := range tb.clusters {
		if c != last {
			tb.exec(t, "kubectl", "--context", c.Name(), "wait", "datacenter/"+last.Name(), "--for=delete", "--timeout=60s")
			tb.await(t, "the routes to "+last.Name()+" are removed from "+c.Name(), func(ctx context.Context) error { return checkNoRoutes(ctx, c, last) })
		}
	}

	require.NoError(t, router.Heal(within(t, timeout)))
	tb.exec(t, tb.meshctl, "leave", "--yes", "--force", "--context", last.Name())
	tb.exec(t, tb.meshctl, "join", "--context", last.Name(), "--via", first.Name())
	for _, from := range all[first].clients {
		tb.await(t, from.name+" reaches "+last.Name()+" again", func(ctx context.Context) error { return from.checkTargets(ctx, all[last].targets) })
	}
}

// checkNoRoutes returns an error if a node of a cluster has a route of Meshway to
// the pods of another cluster, but for the guard of what is no longer announced.
func checkNoRoutes(ctx context.Context, c, other *cluster.Cluster) error {
	var errs []error
	for _, node := range c.Nodes() {
		for _, pods := range other.Options().PodCIDRs {
			out, err := node.Exec(ctx, "sh", "-c", "ip "+family(pods)+" route show table 7117 root "+pods.String()+" 2>/dev/null | grep -v '^blackhole' | cat")
			if err == nil && out != "" {
				err = fmt.Errorf("node %s has the route %s", node.Name, out)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// family returns the option of ip(8) for an address family.
func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "-4"
	}
	return "-6"
}
