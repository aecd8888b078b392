package krew_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/meshway/meshway/release/krew"
	"github.com/meshway/meshway/release/source"
)

func TestManifestHasEachArchiveOfMeshctlWithItsChecksum(t *testing.T) {
	repository, err := filepath.Abs("../../..")
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{
		"meshctl_0.2.0_darwin_arm64.tar.gz", "meshctl_0.2.0_windows_amd64.zip",
		"meshctl_0.2.0_linux_amd64.cdx.json", "meshway_0.2.0_linux_amd64.tar.gz", "meshctl_0.1.0_linux_amd64.tar.gz", // others
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("a"), 0o644))
	}
	require.NoError(t, krew.Write(dir, source.Source{Dir: repository, Version: "v0.2.0"}))
	text, err := os.ReadFile(filepath.Join(dir, krew.File))
	require.NoError(t, err)
	type platform struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		URI, SHA256, Bin string
	}
	var manifest struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			Version          string
			ShortDescription string `yaml:"shortDescription"`
			Platforms        []platform
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &manifest))
	assert.Equal(t, "krew.googlecontainertools.github.com/v1alpha2", manifest.APIVersion)
	assert.Equal(t, "meshway", manifest.Metadata.Name)
	assert.Equal(t, "v0.2.0", manifest.Spec.Version)
	assert.Less(t, len(manifest.Spec.ShortDescription), 50, "krew index limits it")
	const sum = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	require.Len(t, manifest.Spec.Platforms, 2)
	darwin, windows := manifest.Spec.Platforms[0], manifest.Spec.Platforms[1]
	assert.Equal(t, map[string]string{"os": "darwin", "arch": "arm64"}, darwin.Selector.MatchLabels)
	assert.Equal(t, "https://github.com/meshway/meshway/releases/download/v0.2.0/meshctl_0.2.0_darwin_arm64.tar.gz", darwin.URI)
	assert.Equal(t, sum, darwin.SHA256)
	assert.Equal(t, "meshctl", darwin.Bin)
	assert.Equal(t, "meshctl.exe", windows.Bin)
}
