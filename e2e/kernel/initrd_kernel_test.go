//go:build linux && kernel

package kernel

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed init.sh
var initScript []byte

// buildInitrd creates the machine's file system of busybox, the modules and the
// tests. It is not compressed, since decompression on an emulated processor is
// slow.
func buildInitrd(t *testing.T, image kernelImage, tests string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err)
	requireStatic(t, busybox)
	root := t.TempDir()
	for _, dir := range []string{"bin", "modules"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	write := func(name string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), content, 0o755))
	}
	write("init", initScript)
	write("bin/busybox", read(t, busybox))
	write("tests", read(t, tests))
	for i, module := range loadOrder(t, image, "wireguard", "veth") {
		name := fmt.Sprintf("modules/%02d-%s", i, strings.SplitAfter(filepath.Base(module), ".ko")[0])
		write(name, readModule(t, module))
	}

	var names []string
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, relErr := filepath.Rel(root, path); relErr == nil {
			names = append(names, name)
		}
		return err
	}))
	archive := exec.CommandContext(t.Context(), "cpio", "--create", "--format=newc", "--owner=0:0", "--quiet")
	archive.Dir = root
	archive.Stdin = strings.NewReader(strings.Join(names, "\n"))
	initrd := filepath.Join(t.TempDir(), "initrd")
	require.NoError(t, os.WriteFile(initrd, []byte(run(t, archive)), 0o644))
	return initrd
}

// loadOrder returns the files of the modules and of their dependencies, each
// after its own dependencies.
func loadOrder(t *testing.T, image kernelImage, modules ...string) []string {
	t.Helper()
	var files []string
	for _, module := range modules {
		out := run(t, exec.CommandContext(t.Context(), "modprobe", "-d", image.root, "-S", image.version, "--show-depends", module))
		for line := range strings.Lines(out) {
			// "insmod FILE [OPTIONS]", or "builtin NAME"
			if f := strings.Fields(line); len(f) > 1 && f[0] == "insmod" && !slices.Contains(files, f[1]) {
				files = append(files, f[1])
			}
		}
	}
	return files
}

// readModule returns the content of a module file, which may be compressed.
func readModule(t *testing.T, file string) []byte {
	t.Helper()
	switch filepath.Ext(file) {
	case ".xz":
		return []byte(run(t, exec.CommandContext(t.Context(), "xz", "-dc", file)))
	case ".zst":
		return []byte(run(t, exec.CommandContext(t.Context(), "zstd", "-dcq", file)))
	}
	return read(t, file)
}

func requireStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	require.NoError(t, err)
	defer file.Close()
	require.False(t, slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }),
		"%s requires libraries, which the machine does not have: apt-get install busybox-static", program)
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return content
}
