package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Oldest is the revision with which this build must run together: the last one of the
// previous minor version, or, before the first release, the last one whose gateways state
// no feature level. A release of a minor version raises it.
const Oldest = "7a2efa19486841072c9fae358cf9c20abd7455e9"

// Repository is a git repository with the history of Meshway.
type Repository struct{ Dir string }

// Resolve returns the full hash of a revision. If the clone lacks the revision, the error
// has the command that fetches it.
func (r Repository) Resolve(ctx context.Context, revision string) (string, error) {
	hash, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err == nil {
		return hash, nil
	}
	shallow, shallowErr := r.git(ctx, "rev-parse", "--is-shallow-repository")
	if shallowErr != nil {
		return "", fmt.Errorf("the tests of upgrades need the git history, in a clone of the repository: %w", shallowErr)
	}
	if shallow == "true" {
		return "", fmt.Errorf("this clone is shallow and lacks the revision %s: run git fetch --unshallow --tags (in GitHub Actions, set fetch-depth: 0)", revision)
	}
	return "", fmt.Errorf("the repository has no revision %s: fetch it, or set another one with make test-upgrade from=REVISION", revision)
}

// First returns the hash of the first commit that the clone has.
func (r Repository) First(ctx context.Context) (string, error) {
	return r.git(ctx, "rev-list", "--max-parents=0", "--max-count=1", "HEAD")
}

// Build builds meshd and meshctl of a revision, given by its full hash, and returns the
// directory with them. Builds are kept in the user's cache.
func (r Repository) Build(ctx context.Context, hash string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	kept := filepath.Join(cache, "meshway", "revisions", hash)
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	work, err := os.MkdirTemp("", "meshway-revision-")
	if err != nil {
		return "", fmt.Errorf("create directory for the sources of %s: %w", hash, err)
	}
	defer os.RemoveAll(work)
	if err := r.extract(ctx, hash, work); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", fmt.Errorf("create cache directory: %w", err)
	}
	built, err := os.MkdirTemp(filepath.Dir(kept), "partial-")
	if err != nil {
		return "", fmt.Errorf("create cache directory: %w", err)
	}
	defer os.RemoveAll(built) // gone after the renaming
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", built+"/", "./cmd/meshd", "./cmd/meshctl")
	build.Dir = work
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build revision %s: %w: %s", hash, err, out)
	}
	if err := os.Rename(built, kept); err != nil && !errors.Is(err, os.ErrExist) { // another process may have been faster
		return "", fmt.Errorf("keep the build of %s: %w", hash, err)
	}
	return kept, nil
}

// extract writes the files of a revision into an empty directory.
func (r Repository) extract(ctx context.Context, hash, dir string) error {
	archive := filepath.Join(dir, ".archive.tar")
	if _, err := r.git(ctx, "archive", "--format=tar", "--output="+archive, hash); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack revision %s: %w: %s", hash, err, out)
	}
	return nil
}

// git runs git and returns its standard output. The tests run as root, and the
// repository may belong to another user.
func (r Repository) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*", "-C", r.Dir}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
