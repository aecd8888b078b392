//go:build linux && root

package chart_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/images"
)

func TestImageHasAllFilesThatItsProgramsUse(t *testing.T) {
	image, err := chart.Image(t.Context(), chart.AgentImage, t.TempDir())
	require.NoError(t, err)
	var archive bytes.Buffer
	require.NoError(t, images.Write(&archive, image))
	root := t.TempDir()
	unpack(t, &archive, root)

	require.NoError(t, os.Mkdir(filepath.Join(root, "etc/meshway"), 0o755))
	config := configurationText(t, renderingOf("userspace"))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/meshway/meshd.yaml"), []byte(config), 0o644))
	for _, command := range [][]string{
		{"nft", "--version"},
		{"meshd", "version"},
		{"meshd", "config", "check", "/etc/meshway/meshd.yaml"},
		{"meshctl", "version", "--client"},
	} {
		out, err := chrootOutput(t, root, command...)
		assert.NoError(t, err, "%s: %s", command, out)
	}

	t.Run("the image of the Dockerfile has the same files", func(t *testing.T) {
		collected := filepath.Join(t.TempDir(), "files")
		out, err := exec.CommandContext(t.Context(), "../../../deploy/image/collect", collected).CombinedOutput()
		require.NoError(t, err, "%s", out)
		ours := slices.DeleteFunc(list(t, root), func(file string) bool {
			return slices.Contains([]string{"usr/bin/meshd", "usr/bin/meshctl", "etc/meshway/meshd.yaml"}, file) // of other stages
		})
		assert.Equal(t, list(t, collected), ours)
	})
}

// chrootOutput runs a program with root as its root directory and returns its
// output.
func chrootOutput(t *testing.T, root string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "chroot", append([]string{root}, command...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// unpack extracts the layer of an archive with one image of one layer.
func unpack(t *testing.T, archive io.Reader, root string) {
	t.Helper()
	content := map[string][]byte{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content[header.Name], err = io.ReadAll(reader)
		require.NoError(t, err)
	}
	var manifest []struct{ Layers, RepoTags []string }
	require.NoError(t, json.Unmarshal(content["manifest.json"], &manifest))
	require.Len(t, manifest, 1)
	require.Equal(t, []string{chart.AgentImage}, manifest[0].RepoTags)
	require.Len(t, manifest[0].Layers, 1)
	cmd := exec.CommandContext(t.Context(), "tar", "-x", "-C", root)
	cmd.Stdin = bytes.NewReader(content[manifest[0].Layers[0]])
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// list returns the files and links below a directory, sorted.
func list(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, root+"/"))
		}
		return err
	}))
	slices.Sort(found)
	return found
}
