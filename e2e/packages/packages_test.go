//go:build linux && packages

package packages_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// timeout bounds each wait.
const timeout = 2 * time.Minute

func TestMain(m *testing.M) {
	harness.Main()
	os.Exit(m.Run())
}

// format is a format of packages with its commands, in the bare system.
type format struct {
	install, upgrade, remove, purge string
}

func formats() map[string]format {
	// Debian's rpm requires a flag to install packages, and has a database without those
	// of Debian.
	const rpm = "rpm --force-debian --nodeps "
	return map[string]format{
		"deb": {
			install: "apt-get install -qq -y --no-install-recommends /old.deb", upgrade: "dpkg --install /new.deb",
			remove: "dpkg --remove meshway", purge: "dpkg --purge meshway",
		},
		"rpm": {
			install: rpm + "--install /old.rpm", upgrade: rpm + "--upgrade /new.rpm",
			remove: rpm + "--erase meshway", purge: rpm + "--erase meshway && rm -r /etc/meshway /var/lib/meshway /run/meshway",
		},
	}
}

// TestPackageIsInstalledUpgradedAndPurged runs the gateway of one datacenter from a
// package in a bare Debian system, under traffic from another datacenter.
func TestPackageIsInstalledUpgradedAndPurged(t *testing.T) {
	root := bareSystem(t)
	t.Run("deb", func(t *testing.T) { formats()["deb"].test(t, root) })
	install(t, root, "apt-get install -qq -y --no-install-recommends rpm nftables")
	t.Run("rpm", func(t *testing.T) { formats()["rpm"].test(t, root) })
}

func (f format) test(t *testing.T, root string) {
	before := meshwayFiles(t, root)
	install(t, root, f.install)
	east, west, packaged := federation(t, root)
	old := exec0(t, west, "version")

	// The upgrade: the data plane keeps its process, and no request is lost.
	dataplane := processes(t, west.Gateway)
	require.NotEmpty(t, dataplane)
	stream := east.Workloads[0].Host.Requests(t.Context(), harness.At(west.Workloads[0].Pod), 20*time.Millisecond)
	chroot(t, west.Gateway, root, f.upgrade)
	require.NoError(t, west.Agent.Terminate(within(t))) // systemctl try-restart, where systemd runs
	require.NoError(t, west.Run(within(t), packaged))
	require.NoError(t, harness.AwaitFederation(within(t), east, west))
	assert.NotEqual(t, old, exec0(t, west, "version"))
	assert.Equal(t, dataplane, processes(t, west.Gateway))
	report := stream.Stop()
	assert.Positive(t, report.Sent)
	assert.Zero(t, report.Lost(), "%d of %d requests: %v", report.Lost(), report.Sent, report.Err)

	// A removal ends the data plane; another installation continues in the federation.
	require.NoError(t, west.Agent.Terminate(within(t)))
	chroot(t, west.Gateway, root, f.remove)
	assert.Empty(t, processes(t, west.Gateway))
	assert.NoFileExists(t, filepath.Join(root, "usr/bin/meshd"))
	chroot(t, west.Gateway, root, f.upgrade)
	require.NoError(t, west.Run(within(t), packaged))
	require.NoError(t, harness.AwaitFederation(within(t), east, west))

	// A purge leaves nothing, neither of files nor in the kernel.
	require.NoError(t, west.Agent.Terminate(within(t)))
	chroot(t, west.Gateway, root, f.purge)
	assert.Empty(t, processes(t, west.Gateway))
	assert.Equal(t, before, meshwayFiles(t, root))
	for _, command := range []string{"ip link", "ip rule", "ip route show table all", "nft list tables"} {
		out, err := west.Gateway.Exec(t.Context(), strings.Fields(command)...)
		require.NoError(t, err)
		for _, trace := range []string{"mesh", "7117", "proto 157"} {
			assert.NotContains(t, out, trace, command)
		}
	}
}

// federation starts two datacenters, the second one with the programs of the bare system,
// which it returns.
func federation(t *testing.T, root string) (east, west *harness.Datacenter, packaged harness.Binaries) {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	topology, err := harness.NewTopology(t.Context(), lab, "east", "west")
	require.NoError(t, err)
	east, west = topology.Datacenters[0], topology.Datacenters[1]
	packaged = inRoot(t, west.Gateway, root)
	run(t, east, harness.BinariesIn(filepath.Join(root, "usr/bin")), harness.ConfigFile)
	run(t, west, packaged, filepath.Join(root, "etc/meshway/meshd.yaml"))
	exec0(t, east, "init")
	token, err := east.Token(t.Context())
	require.NoError(t, err)
	exec0(t, west, "join", token)
	require.NoError(t, harness.AwaitFederation(within(t), east, west))
	return east, west, packaged
}

// bareSystem returns the directory of a bare Debian system, which .ci/packages makes,
// with packages of two versions, such as old.deb and new.rpm.
func bareSystem(t *testing.T) string {
	t.Helper()
	root := os.Getenv("BARE_SYSTEM")
	require.NotEmpty(t, root, "run make test-packages")
	return root
}

// install runs a command in the bare system with the network of the machine.
func install(t *testing.T, root, command string) {
	t.Helper()
	cmd := exec.CommandContext(within(t), "chroot", root, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// inRoot shows the kernel of a host in the directory of the bare system, and returns
// programs that run the packaged ones in it.
func inRoot(t *testing.T, host *harness.Host, root string) harness.Binaries {
	t.Helper()
	for _, mount := range []string{"/proc", "/sys", "/dev", "/run"} {
		out, err := host.Exec(t.Context(), "mount", "--rbind", mount, filepath.Join(root, mount))
		require.NoError(t, err, out)
	}
	dir := t.TempDir()
	for _, name := range []string{"meshd", "meshctl"} {
		script := "#!/bin/sh\nexec chroot " + root + " /usr/bin/" + name + " \"$@\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return harness.BinariesIn(dir)
}

// run configures and starts an agent. Its configuration is in file, too, for the scripts
// of the package.
func run(t *testing.T, dc *harness.Datacenter, binaries harness.Binaries, file string) {
	t.Helper()
	config := dc.Config("wireguard: {dataplane: userspace}")
	require.NoError(t, dc.Configure(config))
	if file != harness.ConfigFile {
		require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	}
	require.NoError(t, dc.Run(within(t), binaries))
}

func exec0(t *testing.T, dc *harness.Datacenter, args ...string) string {
	t.Helper()
	out, err := dc.Meshctl(within(t), args...)
	require.NoError(t, err, out)
	return out
}

// chroot runs a command in the bare system on a host.
func chroot(t *testing.T, host *harness.Host, root, command string) {
	t.Helper()
	out, err := host.Exec(within(t), "chroot", root, "sh", "-c", command)
	require.NoError(t, err, out)
}

// processes returns the ids of the processes of the userspace data plane on a host.
func processes(t *testing.T, host *harness.Host) string {
	t.Helper()
	out, err := host.Exec(t.Context(), "pgrep", "-f", "meshd wireguard")
	if harness.ExitCode(err) != 1 { // none
		require.NoError(t, err)
	}
	return strings.TrimSpace(out)
}

// meshwayFiles returns the files of Meshway in the bare system.
func meshwayFiles(t *testing.T, root string) []string {
	t.Helper()
	found := []string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := strings.TrimPrefix(path, root)
		if entry.IsDir() && (relative == "/proc" || relative == "/sys" || relative == "/dev") {
			return fs.SkipDir
		}
		if strings.Contains(relative, "meshway") || strings.Contains(relative, "meshd") || strings.Contains(relative, "meshctl") {
			found = append(found, relative)
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}
