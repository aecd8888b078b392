//go:build linux && root

package federation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// testRotation gives west a second gateway, too, and replaces the CA of each cluster, whose
// gateways share its key in a Secret.
func (tb *testbed) testRotation(t *testing.T, all map[*cluster.Cluster]workloads) {
	east, west := tb.clusters[0], tb.clusters[1]
	tb.exec(t, "kubectl", "--context", west.Name(), "label", "node", west.Nodes()[1].Name, gatewayLabel+"=true")
	gateways := []*cluster.Node{east.Nodes()[0], east.Nodes()[1], west.Nodes()[0], west.Nodes()[1]}
	tb.await(t, "all four gateways are members", func(ctx context.Context) error {
		for _, gateway := range gateways {
			if _, err := tb.fingerprint(ctx, gateway, west); err != nil {
				return err
			}
		}
		return nil
	})
	tb.awaitGateways(t, "west", "2/2", east)
	tb.requireNoneLost(t, all, func() {
		for _, c := range []*cluster.Cluster{east, west} {
			tb.rotate(t, c, gateways)
		}
	})
	for _, c := range []*cluster.Cluster{east, west} {
		tb.await(t, c.Name()+" has a catalog that can be written, and no problem of trust", func(ctx context.Context) error {
			out, err := tb.lab.Exec(ctx, tb.meshctl, "--context", c.Name(), "status", "-o", "json")
			if err == nil && (strings.Contains(out, "trust-") || strings.Contains(out, "no-leader")) {
				err = errors.New(out)
			}
			return err
		})
	}
}

// rotate replaces the CA of a cluster, and waits until all gateways trust the new one only.
func (tb *testbed) rotate(t *testing.T, c *cluster.Cluster, gateways []*cluster.Node) {
	t.Helper()
	before, err := tb.fingerprint(within(t, timeout), gateways[0], c)
	require.NoError(t, err)
	tb.exec(t, tb.meshctl, "--context", c.Name(), "ca", "rotate", "--yes")
	after, err := tb.fingerprint(within(t, timeout), c.Nodes()[0], c)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	for _, gateway := range gateways {
		tb.await(t, gateway.Name+" trusts the new CA of "+c.Name(), func(ctx context.Context) error {
			now, err := tb.fingerprint(ctx, gateway, c)
			if err == nil && now != after {
				err = fmt.Errorf("it trusts %s, not %s", now, after)
			}
			return err
		})
	}
	tb.await(t, "the Secret of "+c.Name()+" has one key", func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "-n", install.Namespace, "get", "secret", "meshway-identity", "-o", "go-template={{range $key, $_ := .data}}{{$key}} {{end}}")
		if err == nil && strings.Contains(out, "next") {
			err = fmt.Errorf("it has %s", out)
		}
		return err
	})
}

// fingerprint returns the fingerprint of the CA of a cluster that a gateway trusts.
func (tb *testbed) fingerprint(ctx context.Context, gateway *cluster.Node, of *cluster.Cluster) (string, error) {
	out, err := gateway.Exec(ctx, tb.meshctl, "trust", "show", "-o", "json")
	if err != nil {
		return "", err
	}
	var shown struct {
		Datacenters []struct{ Name, Fingerprint, CatalogFingerprint string }
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		return "", err
	}
	for _, dc := range shown.Datacenters {
		if dc.Name == of.Name() {
			return dc.Fingerprint, nil
		}
	}
	return "", fmt.Errorf("%s has not seen %s", gateway.Name, of.Name())
}
