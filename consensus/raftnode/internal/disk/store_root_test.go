//go:build linux && root

package disk

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A real full disk: a small tmpfs in a mount namespace of this thread.
func TestAFullDiskIsRefusedAtTheStart(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test needs root")
	dir := t.TempDir()
	runtime.LockOSThread() // never unlocked: the thread ends with its namespace
	require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"))
	defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 96<<10), 0o600))
	_, err := Open(dir, WAL, nil, hclog.NewNullLogger())
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "free space there")
	found, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, found, 1, "nothing is left behind")
}
