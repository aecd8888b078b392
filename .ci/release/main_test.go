package main

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadInputIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	repository := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "git", "init", "--quiet", repository).CombinedOutput()
	require.NoError(t, err, "%s", out)
	dirty, err := exec.CommandContext(t.Context(), "touch", filepath.Join(repository, "new")).CombinedOutput()
	require.NoError(t, err, "%s", dirty)
	for want, args := range map[string][]string{
		"name what to do: make, verify or image":                                           nil,
		`unknown command "publish"`:                                                        {"publish", "-version", "v0.2.0"},
		"VERSION is missing":                                                               {"make"},
		`VERSION "2" has no v before the number`:                                           {"make", "-version", "2"},
		`unknown platform "linux/mips"`:                                                    {"make", "-version", "v0.2.0", "-platforms", "linux/mips"},
		`IMAGE "ghcr.io/Meshway/meshway" is no repository of images`:                       {"make", "-version", "v0.2.0", "-image", "ghcr.io/Meshway/meshway"},
		`IMAGE "meshway" is no repository of images`:                                       {"make", "-version", "v0.2.0", "-image", "meshway"},
		`IMAGE "ghcr.io/meshway/meshway:1" is no`:                                          {"make", "-version", "v0.2.0", "-image", "ghcr.io/meshway/meshway:1"},
		"unknown argument now":                                                             {"make", "-version", "v0.2.0", "now"},
		"the tree has changes that are not committed: commit them, or remove them: ?? new": {"make", "-version", "v0.2.0", "-repository", repository},
	} {
		output := filepath.Join(t.TempDir(), "dist")
		if len(args) > 0 {
			args = append(args[:1:1], append([]string{"-output", output}, args[1:]...)...)
		}
		assert.ErrorContains(t, run(t.Context(), args, io.Discard), want)
		assert.NoDirExists(t, output)
	}
}
