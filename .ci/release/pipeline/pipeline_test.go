package pipeline_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/image"
	"github.com/meshway/meshway/release/pipeline"
	"github.com/meshway/meshway/release/programs"
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

	p := pipeline.Pipeline{Repository: repository, Version: "v0.2.0", Image: image.Repository, Log: io.Discard}
	require.Error(t, p.Make(t.Context(), dist), "the repository has no commit")
	earlier, err := os.ReadFile(dist + "/SHA256SUMS")
	require.NoError(t, err)
	assert.Equal(t, "earlier", string(earlier))
	left, err := filepath.Glob(parent + "/.release-*")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestPackageThatIsGoneStopsAReleaseBeforeItsPrograms(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	parent := t.TempDir()
	repository := filepath.Join(parent, "repository")
	list := filepath.Join(repository, "deploy/image/packages")
	require.NoError(t, os.MkdirAll(filepath.Dir(list), 0o755))
	sum := strings.Repeat("0", 64)
	require.NoError(t, os.WriteFile(list, []byte("amd64 libc6 2.36 "+sum+" "+server.URL+"/libc6.deb\narm64 nftables 1.0 "+sum+" "+server.URL+"/nftables.deb\n"), 0o644))
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "list"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = repository
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	var log strings.Builder
	platforms := []programs.Platform{{OS: "linux", Arch: "amd64"}, {OS: "darwin", Arch: "arm64"}, {OS: "linux", Arch: "arm64"}}
	p := pipeline.Pipeline{Repository: repository, Version: "v0.2.0", Image: image.Repository, Platforms: platforms, Log: &log}
	err := p.Make(t.Context(), filepath.Join(parent, "dist"))
	assert.ErrorContains(t, err, "no longer has libc6 2.36 (amd64), nftables 1.0 (arm64)")
	assert.Empty(t, log.String(), "nothing was built")
	assert.NoDirExists(t, filepath.Join(parent, "dist"))
}

func TestOtherFilesAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/thesis.txt", nil, 0o644))
	err := pipeline.Pipeline{Version: "v0.2.0", Log: io.Discard}.Make(t.Context(), dir)
	assert.ErrorContains(t, err, "is not empty, and no release, since it has no SHA256SUMS")
}
