package setup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestPlanNamesThePackagesOfEachPackageManager(t *testing.T) {
	for manager, want := range map[string]string{
		"apt":    "apt-get update -qq && apt-get install -qq -y --no-install-recommends make iproute2 nftables util-linux iputils-ping procps",
		"dnf":    "dnf install -y make iproute nftables util-linux iputils procps-ng",
		"apk":    "apk add make iproute2 nftables util-linux-misc iputils procps",
		"pacman": "pacman -S --noconfirm --needed make iproute2 nftables util-linux iputils procps-ng",
		"zypper": "zypper --non-interactive install --no-recommends make iproute2 nftables util-linux iputils procps",
	} {
		t.Run(manager, func(t *testing.T) {
			output, err := setup(t, nil, "--plan", "--manager", manager, "demo")
			require.NoError(t, err, output)
			assert.Equal(t, want+"\n", output)
		})
	}
}

// Each tool that the tests, the benches and the scripts of a ring start is in the list.
func TestListHasEachToolThatTheTestsStart(t *testing.T) {
	list := read(t, ".ci/setup")
	// Parts of every system, or of a package in the list (kmod), or found with the product.
	own := map[string]bool{}
	for _, tool := range []string{"go", "bash", "sh", "sleep", "cat", "true", "chroot", "tar", "ldd", "dpkg", "apt-get", "apt-cache", "depmod", "bridge"} {
		own[tool] = true
	}
	literal := regexp.MustCompile(`exec\.(?:Command|CommandContext|LookPath)\((?:[a-zA-Z.]+(?:\(\))?, )?"([a-z0-9_-]+)"`)
	found := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "e2e"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range literal.FindAllStringSubmatch(string(text), -1) {
			tool := match[1]
			found++
			if own[tool] {
				continue
			}
			assert.True(t, strings.Contains(list, "\n"+tool+" "), "%s starts %s", path, tool)
		}
		return nil
	}))
	assert.Positive(t, found)
}

func TestListNamesOnlyTargetsOfTheMakefile(t *testing.T) {
	makefile := read(t, "Makefile")
	row := regexp.MustCompile(`(?m)^\S+ +\| ((?:(?:any|demo|generate|release|release-[a-z]+|test-[a-z]+|e2e-[a-z]+) )+)`)
	rows := row.FindAllStringSubmatch(read(t, ".ci/setup"), -1)
	require.Greater(t, len(rows), 10)
	for _, match := range rows {
		for target := range strings.FieldsSeq(match[1]) {
			if target != "any" {
				assert.True(t, strings.Contains(makefile, "\n"+target+":"), target)
			}
		}
	}
}

func TestSetupNoNamesWhatIsMissingAndInstallsNothing(t *testing.T) {
	bin := t.TempDir()
	// A machine that has Go, apt-get and coreutils alone.
	for _, tool := range []string{"go", "bash", "cat", "cut", "tr", "sed", "sort", "head", "id", "dirname", "paste"} {
		path, err := exec.LookPath(tool)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, tool)))
	}
	called := filepath.Join(bin, "called")
	require.NoError(t, os.WriteFile(filepath.Join(bin, "apt-get"), []byte("#!"+filepath.Join(bin, "bash")+"\n: >"+called+"\n"), 0o755))
	output, err := setup(t, []string{"PATH=" + bin, "setup=no"}, "test-unit")
	require.Error(t, err)
	assert.Contains(t, output, "missing: make (runs the targets)")
	assert.Contains(t, output, "gcc (links the race detector)")
	assert.Contains(t, output, ". Install them with: apt-get update -qq && apt-get install -qq -y --no-install-recommends make ")
	assert.Len(t, strings.Split(strings.TrimSpace(output), "\n"), 1, "one line")
	assert.NoFileExists(t, called)
}

// TestGoOutsideThePathOfRootIsNamed runs as sudo does: with a PATH of its own.
func TestGoOutsideThePathOfRootIsNamed(t *testing.T) {
	bin, elsewhere := t.TempDir(), t.TempDir()
	for _, tool := range []string{"bash", "cat", "cut", "tr", "sed", "sort", "head", "id", "dirname", "paste", "getent"} {
		path, err := exec.LookPath(tool)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, tool)))
	}
	refusal := func(dirs, user string) string {
		output, err := setup(t, []string{"PATH=" + bin, "MESHWAY_GO_DIRS=" + dirs, "SUDO_USER=" + user, "setup=no"}, "test-unit")
		require.Error(t, err)
		assert.Equal(t, 1, strings.Count(output, "\n"), output)
		return output
	}
	assert.Contains(t, refusal(elsewhere, ""), "or newer is missing: install it from https://go.dev/dl")
	assert.Contains(t, refusal(elsewhere, "nobody"), `if it is in yours, run sudo env "PATH=$PATH" make test-unit; otherwise install it`)
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "go"), nil, 0o755))
	assert.Contains(t, refusal(elsewhere, ""), "Go is in "+elsewhere+", which is not in the PATH of ")
	assert.Contains(t, refusal(elsewhere, ""), `: run env "PATH=$PATH:`+elsewhere+`" make test-unit`)
	assert.Contains(t, refusal(elsewhere, "nobody"), `: run sudo env "PATH=$PATH:`+elsewhere+`" make test-unit`)
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "setup: name the make targets to prepare for\n"},
		{[]string{"--manager", "brew", "demo"}, "setup: --manager is one of: apt dnf apk pacman zypper\n"},
		{[]string{"--dry-run", "demo"}, "setup: unknown flag --dry-run: the flags are --plan and --manager NAME\n"},
	} {
		output, err := setup(t, nil, test.args...)
		require.Error(t, err)
		assert.Equal(t, test.want, output)
	}
}

func setup(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), bash, append([]string{filepath.Join(root, ".ci/setup")}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	return string(text)
}
