//go:build linux && root

package harness_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/e2e/harness"
)

func newDisk(t *testing.T) (*harness.Host, *harness.Disk) {
	t.Helper()
	host, err := newLab(t).Host(t.Context(), "alone")
	require.NoError(t, err)
	disk, err := host.Disk(t.Context(), "/var/lib", 8<<20)
	require.NoError(t, err)
	return host, disk
}

func TestADiskIsFullUntilItIsFreed(t *testing.T) {
	host, disk := newDisk(t)
	write := func() error { return host.WriteFile("/var/lib/file", make([]byte, 4096), 0o600) }
	require.NoError(t, write())
	content, err := os.ReadFile(disk.Path("file"))
	require.NoError(t, err)
	assert.Len(t, content, 4096)

	require.NoError(t, os.Remove(disk.Path("file")))
	require.NoError(t, disk.Fill())
	require.ErrorIs(t, write(), unix.ENOSPC)
	require.NoError(t, disk.Free())
	require.NoError(t, write())
}

func TestAWriteWaitsWhileADiskStalls(t *testing.T) {
	_, disk := newDisk(t)
	stop, longest := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for {
			began := time.Now()
			_ = os.WriteFile(disk.Path("file"), []byte("x"), 0o600)
			most = max(most, time.Since(began))
			select {
			case <-stop:
				longest <- most
				return
			default:
			}
		}
	}()
	const stall = time.Second
	require.NoError(t, disk.Stall(stall))
	close(stop)
	assert.Greater(t, <-longest, stall*9/10)
}
