//go:build linux && root

package chart_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
)

func TestImageHasAllFilesThatItsProgramsUse(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "meshway.tar")
	require.NoError(t, chart.WriteImage(t.Context(), t.TempDir(), archive))
	root := t.TempDir()
	unpack(t, archive, root)

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
}

// TestImageListsTheRulesOfIptablesLegacy loads them with the programs of this machine, in
// a network namespace that ends with the command.
func TestImageListsTheRulesOfIptablesLegacy(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "meshway.tar")
	require.NoError(t, chart.WriteImage(t.Context(), t.TempDir(), archive))
	root := t.TempDir()
	unpack(t, archive, root)
	for _, program := range []string{"iptables", "ip6tables"} {
		rules := "*filter\n:FORWARD DROP\n" +
			"-A FORWARD -p tcp -m multiport --dports 80,443 -m conntrack --ctstate NEW -m limit --limit 5/sec -j ACCEPT\n" +
			"-A FORWARD -m statistic --mode random --probability 0.5 -m mark --mark 0x1 -j REJECT\nCOMMIT\n"
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c",
			program+`-legacy-restore && exec chroot "$1" `+program+`-legacy-save -t filter`, "sh", root)
		cmd.Stdin = strings.NewReader(rules)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), ":FORWARD DROP")
		assert.Contains(t, string(out), "-A FORWARD -p tcp -m multiport --dports 80,443 -m conntrack --ctstate NEW -m limit --limit 5/sec -j ACCEPT")
		assert.Contains(t, string(out), "-A FORWARD -m statistic --mode random")
		assert.Contains(t, string(out), "-j REJECT --reject-with")
	}
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

// unpack extracts the layers of an archive with one image of one processor.
func unpack(t *testing.T, archive, root string) {
	t.Helper()
	file, err := os.Open(archive)
	require.NoError(t, err)
	defer file.Close()
	content := map[string][]byte{}
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content[header.Name], err = io.ReadAll(reader)
		require.NoError(t, err)
	}
	type descriptor struct {
		Digest      string
		Annotations map[string]string
	}
	var manifest struct{ Manifests, Layers []descriptor }
	decode := func(name string) {
		manifest.Manifests, manifest.Layers = nil, nil
		require.NoError(t, json.Unmarshal(content[name], &manifest))
	}
	blob := func(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }
	decode("index.json")
	require.Len(t, manifest.Manifests, 1)
	require.Equal(t, chart.AgentImage, manifest.Manifests[0].Annotations["io.containerd.image.name"])
	decode(blob(manifest.Manifests[0])) // the index of processors
	require.Len(t, manifest.Manifests, 1)
	decode(blob(manifest.Manifests[0]))
	require.Len(t, manifest.Layers, 2)
	for _, layer := range manifest.Layers {
		cmd := exec.CommandContext(t.Context(), "tar", "-xz", "-C", root)
		cmd.Stdin = bytes.NewReader(content[blob(layer)])
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}
