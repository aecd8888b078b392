//go:build linux && root

package nft

import (
	"context"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// TestAChangeRightAfterAWriteIsReverted adds a rule before the table that was written
// is listed.
func TestAChangeRightAfterAWriteIsReverted(t *testing.T) {
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	f := New()
	require.NoError(t, f.Apply(t.Context(), routes.Firewall{}))
	state, err := f.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, routes.TableIntact, state, "nothing else has changed")
	want, list, listings := f.listing, f.list, 0
	f.list = func(ctx context.Context) (string, error) {
		if listings++; listings == 2 {
			require.NoError(t, exec.CommandContext(ctx, "nft", "insert rule inet meshway antispoof drop").Run())
		}
		return list(ctx)
	}
	f.rendered = "" // so that the table is written
	require.NoError(t, f.Apply(t.Context(), routes.Firewall{}))
	require.NoError(t, f.Apply(t.Context(), routes.Firewall{}), "after the event")
	have, err := list(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, have)
	state, err = f.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, routes.TableIntact, state)
}
