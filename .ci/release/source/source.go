// Package source provides the source of a release: a clone of one commit, in which the
// release is tagged, so that the Go toolchain stamps its version.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// Source is a clone of the commit of a release.
type Source struct {
	Dir     string
	Version string // with its "v"
	Commit  string
	Time    time.Time // of the commit
}

// Number returns the version without its "v", as charts and packages have it.
func (s Source) Number() string { return strings.TrimPrefix(s.Version, "v") }

// CheckVersion returns an error unless version is one that a release can have.
func CheckVersion(version string) error {
	const example = "name one such as VERSION=v0.2.0 or VERSION=v0.2.0-rc.1"
	switch {
	case version == "":
		return fmt.Errorf("VERSION is missing: %s", example)
	case semver.IsValid("v" + version):
		return fmt.Errorf("VERSION %q has no v before the number: write VERSION=v%s", version, version)
	case !semver.IsValid(version) || semver.Canonical(version)+semver.Build(version) != version:
		return fmt.Errorf("VERSION %q is no semantic version with three numbers: %s", version, example)
	case semver.Build(version) != "":
		return fmt.Errorf("VERSION %q has build metadata, which the tag of an image cannot have: %s", version, example)
	case semver.Major(version) != "v0" && semver.Major(version) != "v1":
		return fmt.Errorf("VERSION %q does not fit the module, whose path has no major version: %s", version, example)
	}
	return nil
}

// CheckTools returns an error that names the missing programs of a release.
func CheckTools() error {
	var missing []string
	for _, tool := range []string{"git", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s: install them, or run .ci/setup release", strings.Join(missing, ", "))
	}
	return nil
}

// CheckClean returns an error unless all files of the repository are committed.
func CheckClean(ctx context.Context, repository string) error {
	changed, err := git(ctx, repository, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("the tree has changes that are not committed: commit them, or remove them: %s",
			strings.Join(strings.Fields(strings.ReplaceAll(changed, "\n", " ")), " "))
	}
	return nil
}

// Clone clones the commit that is checked out in repository into dir, and tags it there.
func Clone(ctx context.Context, repository, dir, version string) (Source, error) {
	_, err := git(ctx, repository, "clone", "--quiet", "--no-tags", "--no-hardlinks",
		// A repository of another user is read, too: CI runs as root.
		"--upload-pack", "git -c safe.directory='*' upload-pack", ".", dir)
	if err != nil {
		return Source{}, err
	}
	if _, err := git(ctx, dir, "tag", version); err != nil {
		return Source{}, err
	}
	commit, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return Source{}, err
	}
	seconds, err := git(ctx, dir, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return Source{}, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Source{}, fmt.Errorf("read the time of commit %s: %w", commit, err)
	}
	return Source{Dir: dir, Version: version, Commit: commit, Time: time.Unix(unix, 0).UTC()}, nil
}

// git runs git in dir and returns its standard output without the last newline.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*", "-C", dir}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimRight(string(out), "\n"), nil
}
