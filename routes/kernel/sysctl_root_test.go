//go:build linux && root

package kernel_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
)

func TestSettingsThatCannotBeSetAreOneError(t *testing.T) {
	runtime.LockOSThread() // never unlocked: thread and mounts end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	root := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", root, "tmpfs", 0, ""))
	defer func() { require.NoError(t, unix.Unmount(root, 0)) }()
	ipv4 := filepath.Join(root, "net/ipv4")
	require.NoError(t, os.MkdirAll(ipv4, 0o700))
	for key, value := range map[string]string{"ip_forward": "1", "nexthop_compat_mode": "1", "fib_multipath_hash_policy": "0"} {
		require.NoError(t, os.WriteFile(filepath.Join(ipv4, key), []byte(value+"\n"), 0o600))
	}
	k := kernel.New(kernel.Options{SysctlRoot: root})
	require.NoError(t, k.CheckSysctls(routes.ForwardingSysctls(nil)), "without IPv6")
	require.NoError(t, unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	require.EqualError(t, k.CheckSysctls(routes.ForwardingSysctls(nil)),
		"sysctl net.ipv4.fib_multipath_hash_policy=1 net.ipv4.nexthop_compat_mode=0 cannot be set: read-only file system")
	require.EqualError(t, k.CheckSysctls([]routes.Sysctl{{Key: "net/ipv4/unknown", Value: "1"}}),
		"sysctl net.ipv4.unknown=1 cannot be set: no such file or directory")
}
