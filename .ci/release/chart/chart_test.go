package chart_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/chart"
	"github.com/meshway/meshway/release/image"
	"github.com/meshway/meshway/release/source"
)

func TestChartHasTheVersionTheRepositoryAndTheDigestOfItsImage(t *testing.T) {
	repository, err := filepath.Abs("../../..")
	require.NoError(t, err)
	output := t.TempDir()
	digest := "sha256:" + strings.Repeat("0a", 32)
	require.NoError(t, chart.Write(output, source.Source{Dir: repository, Version: "v0.2.0", Time: time.Unix(1700000000, 0)}, "registry.example.org/team/meshway", digest))
	files := read(t, filepath.Join(output, "meshway-0.2.0.tgz"))
	assert.Contains(t, files["meshway/Chart.yaml"], "\nversion: 0.2.0\nappVersion: 0.2.0\n")
	assert.Contains(t, files["meshway/values.yaml"], "\n  digest: \""+digest+"\"\n")
	assert.Contains(t, files["meshway/values.yaml"], "\n  repository: registry.example.org/team/meshway\n")
	assert.NotContains(t, files["meshway/values.yaml"], image.Repository)
	assert.NotContains(t, files["meshway/README.md"], "](.", "the archive has no other page")
	assert.Contains(t, files["meshway/README.md"], "](https://github.com/meshway/meshway/blob/v0.2.0/README.md#kubernetes)")
	assert.Contains(t, files["meshway/README.md"], "](https://github.com/meshway/meshway/blob/v0.2.0/deploy/docs/install.md)")
	for _, name := range []string{"meshway/values.schema.json", "meshway/templates/agent.yaml", "meshway/crds/datacenters.meshway.io.yaml"} {
		want, err := os.ReadFile(filepath.Join(repository, "deploy/chart", name))
		require.NoError(t, err)
		assert.Equal(t, string(want), files[name], name)
	}
}

func TestChartOfTheSourceTreeNamesTheRepositoryOfReleases(t *testing.T) {
	values, err := os.ReadFile("../../../deploy/chart/meshway/values.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(values), "\n  repository: "+image.Repository+"\n")
}

func TestChartWithoutPlaceForTheVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "deploy/chart/meshway"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "deploy/chart/meshway/Chart.yaml"), []byte("name: meshway\n"), 0o644))
	err := chart.Write(t.TempDir(), source.Source{Dir: dir, Version: "v0.2.0"}, image.Repository, "sha256:0")
	assert.ErrorContains(t, err, "Chart.yaml has 0 places like")
}

func read(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	plain, err := gzip.NewReader(file)
	require.NoError(t, err)
	files := map[string]string{}
	for reader := tar.NewReader(plain); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		text, err := io.ReadAll(reader)
		require.NoError(t, err)
		files[header.Name] = string(text)
	}
}
