//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCatalogIsRecoveredAfterTheOtherClusterIsLost needs no shell in a pod, and
// nothing on the operator's machine but kubectl.
func TestCatalogIsRecoveredAfterTheOtherClusterIsLost(t *testing.T) {
	tb := newTestbed(t)
	east, west := tb.clusters[0], tb.clusters[1]
	recoverCatalog := []string{tb.meshctl, "--context", west.Name(), "raft", "recover"}
	message := tb.requireFailure(t, append(recoverCatalog, "--yes")...)
	assert.Contains(t, message, "the catalog has a leader")

	require.NoError(t, east.Close())
	tb.await(t, "the catalog has no leader", func(ctx context.Context) error {
		out, _ := tb.lab.Exec(ctx, tb.meshctl, "--context", west.Name(), "status", "-o", "json")
		if !strings.Contains(out, "the catalog has no leader") {
			return errors.New(out)
		}
		return nil
	})
	tb.await(t, "east answers no more", func(ctx context.Context) error {
		_, err := tb.lab.Exec(ctx, append(recoverCatalog, "--dry-run")...)
		return err
	})
	before := tb.exec(t, tb.meshctl, "--context", west.Name(), "raft", "list-peers")
	assert.Contains(t, before, east.Name()+"/", "a dry run changes nothing")
	tb.exec(t, append(recoverCatalog, "--yes")...)
	tb.await(t, "east is removed", func(ctx context.Context) error {
		_, err := tb.lab.Exec(ctx, tb.meshctl, "--context", west.Name(), "datacenter", "remove", east.Name(), "--yes")
		return err
	})
	tb.await(t, "west is without problems", func(ctx context.Context) error {
		_, err := tb.lab.Exec(ctx, tb.meshctl, "--context", west.Name(), "status")
		return err
	})
}
