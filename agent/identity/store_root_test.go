//go:build linux && root

package identity

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func requireRoot(t testing.TB) {
	t.Helper()
	require.Zero(t, os.Geteuid(), "this test needs root")
}

func chown(name string) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) { require.NoError(t, os.Chown(s.path(name), 65534, 65534)) }
}

func TestDataDirectoryOfAnotherUserIsRefused(t *testing.T) {
	requireRoot(t)
	checkInvalidDirectories(t, map[string]invalidDirectory{
		"directory of another user": {chown("."), useOpen, []string{"owner is user 65534", "chown 0 "}},
		"key of another user":       {chown(wireguardKeyFile), useKey, []string{"owner is user 65534", "chown 0 "}},
	})
}

func TestFullDiskLosesNothingAndErrorHasARemedy(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() { // a separate thread, which ends with its mount namespace
		defer close(done)
		runtime.LockOSThread()
		onFullDisk(t, dir)
	}()
	<-done
}

func onFullDisk(t *testing.T, dir string) {
	if !assert.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS)) ||
		!assert.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")) ||
		!assert.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k,mode=0700")) {
		return
	}
	defer func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	s, err := Open(dir)
	if !assert.NoError(t, err) || !assert.NoError(t, s.SaveMembership(membership)) {
		return
	}
	defer func() { assert.NoError(t, s.Close()) }()
	assert.Error(t, os.WriteFile(dir+"/fill", make([]byte, 64<<10), 0o600))

	changed := membership
	changed.FederationName = "renamed"
	err = s.SaveMembership(changed)
	assert.ErrorIs(t, err, unix.ENOSPC)
	assert.ErrorContains(t, err, s.path(membershipFile))
	assert.ErrorContains(t, err, "free space")
	got, ok, err := s.Membership()
	assert.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, membership, got)
}
