//go:build linux && kernel

package kernel

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kernelVariable is the environment variable with the directory of the kernel.
const kernelVariable = "MESHWAY_TEST_KERNEL"

// kernelImage is a kernel with its modules: root/boot/vmlinuz-VERSION and
// root/lib/modules/VERSION.
type kernelImage struct{ root, version string }

func (k kernelImage) vmlinuz() string { return filepath.Join(k.root, "boot", "vmlinuz-"+k.version) }

// findKernel returns the kernel of kernelVariable or of the distribution. The
// latter is unpacked in the user's cache, because an installation would write
// to /boot, from which the machine may boot.
func findKernel(t *testing.T) kernelImage {
	t.Helper()
	root := os.Getenv(kernelVariable)
	if root == "" {
		root = unpackedKernel(t)
	}
	kernels, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	require.NoError(t, err)
	require.NotEmpty(t, kernels, "there is no kernel in %s/boot", root)
	return kernelImage{root: root, version: strings.TrimPrefix(filepath.Base(kernels[len(kernels)-1]), "vmlinuz-")}
}

// unpackedKernel returns the directory in the cache with the unpacked kernel
// packages, which it downloads if they are missing.
func unpackedKernel(t *testing.T) string {
	t.Helper()
	packages := kernelPackages(t)
	name := fileName(t, packages[0])
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	cache = filepath.Join(cache, "meshway-kernel")
	unpacked := filepath.Join(cache, strings.TrimSuffix(name, ".deb"))
	if _, err := os.Stat(unpacked); err == nil {
		return unpacked
	}
	require.NoError(t, os.MkdirAll(cache, 0o755))
	work, err := os.MkdirTemp(cache, "unpack-")
	require.NoError(t, err)
	defer os.RemoveAll(work)
	t.Logf("downloading %s", name)
	download := exec.CommandContext(t.Context(), "apt-get", append([]string{"download", "-qq"}, packages...)...)
	download.Dir = work
	out, err := download.CombinedOutput()
	require.NoError(t, err, "download %s: run apt-get update, or %s\n%s", name, remedy, out)
	unpack(t, work)
	// The rename is atomic; another process may have unpacked the same kernel.
	if err := os.Rename(filepath.Join(work, "root"), unpacked); err != nil {
		require.ErrorIs(t, err, fs.ErrExist)
	}
	return unpacked
}

const remedy = "set " + kernelVariable + " to a directory with boot/vmlinuz-VERSION and lib/modules/VERSION (/ for the installed kernel)"

// kernelPackages returns the package of the newest kernel for virtual machines
// and, if its modules are a separate package, that one.
func kernelPackages(t *testing.T) []string {
	t.Helper()
	for _, newest := range []string{"linux-image-cloud-amd64", "linux-image-virtual"} { // Debian, Ubuntu
		out, err := exec.CommandContext(t.Context(), "apt-cache", "depends", "--recurse", "--important", newest).Output()
		if found := regexp.MustCompile(`(?m)^linux-(image|modules)-\d\S+$`).FindAllString(string(out), -1); err == nil && found != nil {
			return found
		}
	}
	require.FailNow(t, "apt has no kernel for virtual machines", "run apt-get update, or "+remedy)
	return nil
}

// fileName returns the file name of a package, which contains its version.
func fileName(t *testing.T, name string) string {
	t.Helper()
	out := run(t, exec.CommandContext(t.Context(), "apt-get", "download", "--print-uris", name))
	fields := strings.Fields(out) // 'URI' FILE SIZE HASH
	require.Greater(t, len(fields), 1, "package %s cannot be downloaded: run apt-get update, or %s", name, remedy)
	return fields[1]
}

// unpack unpacks the packages in work into work/root and generates the module
// dependencies, as their installation does.
func unpack(t *testing.T, work string) {
	t.Helper()
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	require.NoError(t, err)
	root := filepath.Join(work, "root")
	for _, p := range packages {
		run(t, exec.CommandContext(t.Context(), "dpkg", "-x", p, root))
	}
	modules, err := filepath.Glob(filepath.Join(root, "lib", "modules", "*"))
	require.NoError(t, err)
	require.Len(t, modules, 1)
	run(t, exec.CommandContext(t.Context(), "depmod", "-b", root, filepath.Base(modules[0])))
}
