package consensustest

import (
	"os"
	"testing"
)

// memoryDir is where Linux has a file system in memory.
const memoryDir = "/dev/shm"

// TempDir returns an empty directory that is removed when the test ends. Unlike
// that of t.TempDir it is in memory, where the system has such a file system:
// raft syncs every entry, so that on a disk a test mostly waits for that.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir, "meshway-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's directory: %v", err)
		}
	})
	return dir
}
