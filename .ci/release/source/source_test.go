package source_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/source"
)

func TestVersionMustBeASemanticVersionOfThisModule(t *testing.T) {
	for _, version := range []string{"v0.2.0", "v1.0.0", "v0.2.0-rc.1"} {
		assert.NoError(t, source.CheckVersion(version))
	}
	for version, want := range map[string]string{
		"":             "VERSION is missing: name one such as VERSION=v0.2.0",
		"0.2.0":        `VERSION "0.2.0" has no v before the number: write VERSION=v0.2.0`,
		"v0.2":         `VERSION "v0.2" is no semantic version with three numbers`,
		"v0.02.0":      "is no semantic version",
		"latest":       "is no semantic version",
		"v0.2.0; ls":   "is no semantic version",
		"v0.2.0+linux": "has build metadata",
		"v2.0.0":       "does not fit the module",
	} {
		assert.ErrorContains(t, source.CheckVersion(version), want)
	}
}

func TestMissingToolsAreNamed(t *testing.T) {
	require.NoError(t, source.CheckTools())
	t.Setenv("PATH", t.TempDir())
	assert.EqualError(t, source.CheckTools(), "missing: git, go: install them, or run .ci/setup release")
}

func TestCloneHasTheCommitAloneAndItsVersion(t *testing.T) {
	repository := newRepository(t)
	require.NoError(t, source.CheckClean(t.Context(), repository))
	write(t, repository, "ignored.txt", "secret")
	write(t, repository, "file.txt", "changed")

	src, err := source.Clone(t.Context(), repository, filepath.Join(t.TempDir(), "clone"), "v0.2.0")
	require.NoError(t, err)
	assert.Equal(t, "0.2.0", src.Number())
	assert.Len(t, src.Commit, 40)
	assert.EqualValues(t, 1700000000, src.Time.Unix())
	content, err := os.ReadFile(filepath.Join(src.Dir, "file.txt"))
	require.NoError(t, err)
	assert.Equal(t, "committed", string(content))
	assert.NoFileExists(t, filepath.Join(src.Dir, "ignored.txt"))
	assert.Equal(t, "v0.2.0\n", run(t, src.Dir, "tag", "--points-at", "HEAD"))
	assert.Equal(t, "v0.1.0\n", run(t, repository, "tag"), "the repository gets no tag")
}

func TestUncommittedFilesAreNamed(t *testing.T) {
	repository := newRepository(t)
	write(t, repository, "new.txt", "")
	write(t, repository, "file.txt", "changed")
	err := source.CheckClean(t.Context(), repository)
	assert.ErrorContains(t, err, "the tree has changes that are not committed: commit them, or remove them: M file.txt ?? new.txt")
}

// newRepository returns a repository with one commit, of November 2023, and an older tag.
func newRepository(t *testing.T) string {
	t.Helper()
	for _, variable := range []string{"GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"} {
		t.Setenv(variable, "1700000000 +0000")
	}
	dir := t.TempDir()
	run(t, dir, "init", "--quiet")
	write(t, dir, "file.txt", "committed")
	write(t, dir, ".gitignore", "ignored.txt\n")
	run(t, dir, "add", ".")
	run(t, dir, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
	run(t, dir, "tag", "v0.1.0")
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}
