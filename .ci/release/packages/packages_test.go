package packages_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/blakesmith/ar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/packages"
	"github.com/meshway/meshway/release/source"
)

const repository = "../../.."

func TestPackageHasProgramsUnitManualAndCompletions(t *testing.T) {
	dir := writePackages(t, "v0.2.0")
	content := unpack(t, filepath.Join(dir, "meshway_0.2.0_amd64.deb"))
	for path, want := range map[string]string{
		"data ./usr/bin/meshd":                                    "-rwxr-xr-x program meshd",
		"data ./usr/bin/meshctl":                                  "-rwxr-xr-x program meshctl",
		"data ./usr/bin/kubectl-meshway":                          "-> meshctl",
		"data ./usr/share/man/man8/meshctl.8":                     "-rw-r--r-- manual",
		"data ./usr/share/bash-completion/completions/meshctl":    "-rw-r--r-- bash",
		"data ./usr/share/zsh/vendor-completions/_meshctl":        "-rw-r--r-- zsh",
		"data ./usr/share/fish/vendor_completions.d/meshctl.fish": "-rw-r--r-- fish",
		"data ./etc/meshway/":                                     "-rwx------ ",
	} {
		assert.Equal(t, want, content[path], path)
	}
	unit := content["data ./usr/lib/systemd/system/meshd.service"]
	assert.Contains(t, unit, "-rw-r--r-- [Unit]\n")
	assert.Contains(t, unit, "\nExecStart=/usr/bin/meshd run ")
	assert.Contains(t, unit, "\nKillMode=process\n", "an upgrade keeps the data plane")
	assert.Contains(t, content["data ./usr/lib/systemd/system/meshway-guard.service"], "\nExecStart=/usr/bin/meshd guard ")
	assert.Contains(t, content["control ./control"], "Version: 0.2.0\n")
	assert.Contains(t, content["control ./control"], "Depends: nftables\n")
	assert.Contains(t, content, "data ./usr/share/doc/meshway/examples/east.yaml")
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		assert.Contains(t, content["control ./"+script], "#!/bin/sh\n")
	}
}

func TestPreviewIsOlderThanItsRelease(t *testing.T) {
	dir := writePackages(t, "v0.2.0-rc.1")
	content := unpack(t, filepath.Join(dir, "meshway_0.2.0-rc.1_amd64.deb"))
	assert.FileExists(t, filepath.Join(dir, "meshway-0.2.0-rc.1-1.x86_64.rpm"))
	assert.Contains(t, content["control ./control"], "Version: 0.2.0~rc.1\n")
}

func TestBytesOfPackagesDoNotDependOnTheDirectory(t *testing.T) {
	first, second := writePackages(t, "v0.2.0"), writePackages(t, "v0.2.0")
	for _, name := range []string{"meshway_0.2.0_amd64.deb", "meshway-0.2.0-1.x86_64.rpm"} {
		var bytes [2][]byte
		for i, dir := range []string{first, second} {
			var err error
			bytes[i], err = os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
		}
		assert.True(t, string(bytes[0]) == string(bytes[1]), name)
	}
}

// An upgrade runs the script of the old package before the new one is there.
func TestUpgradeLeavesAgentAndDataPlaneAlone(t *testing.T) {
	for _, args := range [][]string{{"upgrade", "0.3.0"}, {"1"}, {"deconfigure"}, {"failed-upgrade", "0.1.0"}} {
		called := filepath.Join(t.TempDir(), "called")
		bin := t.TempDir()
		for _, program := range []string{"systemctl", "meshd"} {
			require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n: >"+called+"\n"), 0o755))
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{repository + "/deploy/package/preremove"}, args...)...)
		cmd.Env = []string{"PATH=" + bin}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.NoFileExists(t, called, args)
	}
}

// writePackages writes packages with stand-ins for programs, manual and completions.
func writePackages(t *testing.T, version string) string {
	t.Helper()
	dir, err := filepath.Abs(repository)
	require.NoError(t, err)
	programs, described, output := t.TempDir(), t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(programs, "meshd"):                          "program meshd",
		filepath.Join(programs, "meshctl"):                        "program meshctl",
		filepath.Join(described, "man/meshctl.8"):                 "manual",
		filepath.Join(described, "completions/bash/meshctl"):      "bash",
		filepath.Join(described, "completions/zsh/_meshctl"):      "zsh",
		filepath.Join(described, "completions/fish/meshctl.fish"): "fish",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	src := source.Source{Dir: dir, Version: version, Time: time.Unix(1700000000, 0)}
	require.NoError(t, packages.Write(output, src, "amd64", programs, described))
	return output
}

// unpack returns the mode and the text of each file of a deb, by archive and path; of
// control files the text alone.
func unpack(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	found := map[string]string{}
	for members := ar.NewReader(file); ; {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		content, err := io.ReadAll(members)
		require.NoError(t, err)
		switch header.Name {
		case "control.tar.gz":
			for path, entry := range entries(t, content) {
				found["control "+path] = entry.text
			}
		case "data.tar.gz":
			for path, entry := range entries(t, content) {
				found["data "+path] = entry.mode + entry.text
			}
		}
	}
}

type entry struct{ mode, text string }

func entries(t *testing.T, compressed []byte) map[string]entry {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(compressed))
	require.NoError(t, err)
	found := map[string]entry{}
	for reader := tar.NewReader(plain); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		text, err := io.ReadAll(reader)
		require.NoError(t, err)
		mode := fmt.Sprintf("%s ", os.FileMode(header.Mode).Perm())
		if header.Typeflag == tar.TypeSymlink {
			mode, text = "-> ", []byte(header.Linkname)
		}
		found[header.Name] = entry{mode, string(text)}
	}
}

func TestUnitOfTheArchiveNamesItsOwnPaths(t *testing.T) {
	unit, err := packages.UnitForArchive(source.Source{Dir: "../../.."}, "meshd.service")
	require.NoError(t, err)
	assert.Contains(t, unit, "install -m 0755 meshd meshctl /usr/local/bin/\n")
	assert.Contains(t, unit, "install -D -m 0600 examples/east.yaml /etc/meshway/meshd.yaml")
	assert.Contains(t, unit, "install -m 0644 meshd.service meshway-guard.service /etc/systemd/system/\n")
	assert.Contains(t, unit, "\n[Unit]\n")
	assert.NotContains(t, unit, "deploy/")
}
