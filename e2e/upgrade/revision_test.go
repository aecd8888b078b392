package upgrade_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/upgrade"
)

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "--quiet")
	for _, subject := range []string{"first", "second"} {
		git(t, dir, "commit", "--quiet", "--allow-empty", "-m", subject)
	}
	git(t, dir, "tag", "v0.1.0", "HEAD^")
	return dir
}

func TestAMissingRevisionIsAnErrorWithItsRemedy(t *testing.T) {
	dir := newRepository(t)
	shallow := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "--quiet", "--depth=1", "file://"+dir, shallow)
	for name, c := range map[string]struct{ dir, revision, want string }{
		"shallow clone":    {shallow, "v0.1.0", "this clone is shallow and lacks the revision v0.1.0: run git fetch --unshallow --tags"},
		"unknown revision": {dir, "v9.9.9", "the repository has no revision v9.9.9: fetch it, or set another one with make test-upgrade from=REVISION"},
		"no revision":      {dir, "--all", "the repository has no revision --all"},
		"no repository":    {t.TempDir(), "v0.1.0", "the tests of upgrades need the git history, in a clone of the repository"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := upgrade.Repository{Dir: c.dir}.Resolve(t.Context(), c.revision)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestARevisionIsResolvedToItsHash(t *testing.T) {
	dir := newRepository(t)
	byTag, err := upgrade.Repository{Dir: dir}.Resolve(t.Context(), "v0.1.0")
	require.NoError(t, err)
	byHash, err := upgrade.Repository{Dir: dir}.Resolve(t.Context(), byTag[:10])
	require.NoError(t, err)
	assert.Equal(t, byTag, byHash)
	assert.Len(t, byTag, 40)
}

func TestTheFirstCommitOfAShallowCloneIsTheOneItHas(t *testing.T) {
	dir := newRepository(t)
	shallow := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "--quiet", "--depth=1", "file://"+dir, shallow)
	first, err := upgrade.Repository{Dir: shallow}.First(t.Context())
	require.NoError(t, err)
	head, err := upgrade.Repository{Dir: dir}.Resolve(t.Context(), "HEAD")
	require.NoError(t, err)
	assert.Equal(t, head, first)
}

func TestABuildThatFailsLeavesNothingInTheCache(t *testing.T) {
	dir, cache := newRepository(t), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	repository := upgrade.Repository{Dir: dir}
	hash, err := repository.Resolve(t.Context(), "HEAD")
	require.NoError(t, err)
	_, err = repository.Build(t.Context(), hash)
	require.ErrorContains(t, err, "build revision "+hash)
	kept, err := os.ReadDir(filepath.Join(cache, "meshway", "revisions"))
	require.NoError(t, err)
	assert.Empty(t, kept)
}
