package pipeline_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/pipeline"
)

func TestFilesThatDifferAreNamed(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		a + "/equal": "x", b + "/equal": "x",
		a + "/changed": "x", b + "/changed": "y",
		a + "/removed": "x", b + "/added": "x",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	different, err := pipeline.Differences(a, b)
	require.NoError(t, err)
	assert.Equal(t, []string{"added", "changed", "removed"}, different)
}

func TestFailedReleaseKeepsTheEarlierOne(t *testing.T) {
	parent := t.TempDir()
	repository, dist := filepath.Join(parent, "repository"), filepath.Join(parent, "dist")
	require.NoError(t, os.Mkdir(repository, 0o755))
	out, err := exec.CommandContext(t.Context(), "git", "init", "--quiet", repository).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Mkdir(dist, 0o755))
	require.NoError(t, os.WriteFile(dist+"/SHA256SUMS", []byte("earlier"), 0o644))

	p := pipeline.Pipeline{Repository: repository, Version: "v0.2.0", Log: io.Discard}
	require.Error(t, p.Make(t.Context(), dist), "the repository has no commit")
	earlier, err := os.ReadFile(dist + "/SHA256SUMS")
	require.NoError(t, err)
	assert.Equal(t, "earlier", string(earlier))
	left, err := filepath.Glob(parent + "/.release-*")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestOtherFilesAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/thesis.txt", nil, 0o644))
	err := pipeline.Pipeline{Version: "v0.2.0", Log: io.Discard}.Make(t.Context(), dir)
	assert.ErrorContains(t, err, "is not empty, and no release, since it has no SHA256SUMS")
}
