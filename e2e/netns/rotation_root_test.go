//go:build linux && root

package netns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// fingerprint returns the fingerprint of the CA of one datacenter that another trusts.
func fingerprint(ctx context.Context, at *harness.Datacenter, of string) (string, error) {
	out, err := at.Meshctl(ctx, "trust", "show", "-o", "json")
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
		if dc.Name == of {
			return dc.Fingerprint, nil
		}
	}
	return "", fmt.Errorf("%s has not seen %s", at.Name, of)
}

// TestRotatingACALosesNoPacketAlsoIfTheAgentIsKilled rotates the CA of the leader and
// that of another datacenter, the second time with a kill of the agent in between.
func TestRotatingACALosesNoPacketAlsoIfTheAgentIsKilled(t *testing.T) {
	topology := newFederation(t, "east", "west", "north")
	all := topology.Datacenters
	require.NoError(t, harness.AwaitVoters(within(t, timeout), 3, all...))
	streams := []*harness.Traffic{datagrams(t, all[0], all[1]), datagrams(t, all[1], all[2]), datagrams(t, all[2], all[0])}
	for i, dc := range all[:2] {
		before, err := fingerprint(t.Context(), dc, dc.Name)
		require.NoError(t, err)
		assert.Contains(t, meshctl(t, dc, "ca", "rotate", "--dry-run", "-o", "json"), before)
		if i == 1 {
			interrupted, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = dc.Meshctl(interrupted, "ca", "rotate", "--yes") // is interrupted
			}()
			eventually(t, timeout, "the next key is stored or in use", func(ctx context.Context) error {
				if now, err := fingerprint(ctx, dc, dc.Name); err == nil && now != before {
					return nil
				}
				_, err := dc.Gateway.ReadFile("/var/lib/meshway/ca.next.key")
				return err
			})
			dc.Agent.Kill()
			cancel()
			<-ended
			require.NoError(t, dc.Run(within(t, timeout), binaries))
			eventually(t, timeout, dc.Name+" has opened its catalog", func(ctx context.Context) error {
				_, err := dc.Meshctl(ctx, "services")
				return err
			})
		}
		meshctl(t, dc, "ca", "rotate", "--yes")
		after, err := fingerprint(t.Context(), dc, dc.Name)
		require.NoError(t, err)
		require.NotEqual(t, before, after)
		for _, other := range all {
			eventually(t, timeout, other.Name+" trusts the new CA", func(ctx context.Context) error {
				if now, err := fingerprint(ctx, other, dc.Name); err != nil || now != after {
					return errors.Join(fmt.Errorf("it trusts %q", now), err)
				}
				return nil
			})
			meshctl(t, other, "service", "register", fmt.Sprintf("after-%d", i), "--address", other.Workloads[0].Service.String(), "--port", "8080")
		}
		_, err = dc.Gateway.ReadFile("/var/lib/meshway/ca.next.key")
		require.Error(t, err, "the prepared key is in use now")
	}
	awaitFederation(t, all...)
	for _, stream := range streams {
		requireNoneLost(t, stream)
	}
}
