package image_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/image"
)

func options(t *testing.T, arch string) image.Options {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	programs := t.TempDir()
	for _, name := range []string{"meshd", "meshctl"} {
		require.NoError(t, os.WriteFile(filepath.Join(programs, name), []byte("program "+name), 0o755))
	}
	return image.Options{
		Arch: arch, Programs: programs, Packages: "../../../deploy/image/packages", Cache: filepath.Join(cache, "meshway", "debian"),
		Version: "0.2.0", Commit: strings.Repeat("c", 40), Time: time.Unix(1700000000, 0).UTC(),
	}
}

func TestImageHasProgramsNftItsLibrariesAndCertificates(t *testing.T) {
	for arch, interpreter := range map[string]string{"amd64": "lib64/ld-linux-x86-64.so.2", "arm64": "lib/ld-linux-aarch64.so.1"} {
		built, err := image.Build(t.Context(), options(t, arch))
		require.NoError(t, err)
		files := contents(t, built)
		assert.Equal(t, "program meshd", files["usr/bin/meshd"])
		assert.Equal(t, "-> /run", files["var/run"])
		assert.Equal(t, "-rwxr-xr-x", files["etc"], "the agent has no capability to read what root may not")
		assert.Contains(t, files["etc/ssl/certs/ca-certificates.crt"], "BEGIN CERTIFICATE")
		assert.Contains(t, files, "usr/sbin/nft")
		assert.Contains(t, files, interpreter)
		libraries := 0
		for name := range files {
			if strings.Contains(name, ".so.") {
				libraries++
			}
			assert.NotContains(t, name, "bin/sh", "there is no shell")
		}
		assert.Equal(t, 17, libraries, "the interpreter, libc, those of nft and of iptables-legacy-save")

		config, err := built.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, arch, config.Architecture)
		assert.Equal(t, []string{"/usr/bin/meshd"}, config.Config.Entrypoint)
		assert.Equal(t, "0.2.0", config.Config.Labels["org.opencontainers.image.version"])
		assert.Equal(t, strings.Repeat("c", 40), config.Config.Labels["org.opencontainers.image.revision"])
	}
}

func TestArchiveIsAnImageLayoutWithOneIndexAndIsReproducible(t *testing.T) {
	var archives [2]string
	for i := range archives {
		images := map[string]v1.Image{}
		for _, arch := range []string{"arm64", "amd64"} {
			var err error
			images[arch], err = image.Build(t.Context(), options(t, arch))
			require.NoError(t, err)
		}
		archives[i] = filepath.Join(t.TempDir(), "image.tar")
		require.NoError(t, image.WriteArchive(archives[i], image.Index(images), image.Repository, "0.2.0"))
	}
	first, second := untar(t, archives[0]), untar(t, archives[1])
	assert.True(t, assert.ObjectsAreEqual(first, second), "the bytes differ")

	var index v1.IndexManifest
	require.NoError(t, json.Unmarshal([]byte(first["index.json"]), &index))
	require.Len(t, index.Manifests, 1)
	assert.Equal(t, "ghcr.io/meshway/meshway:0.2.0", index.Manifests[0].Annotations["io.containerd.image.name"])
	var platforms v1.IndexManifest
	require.NoError(t, json.Unmarshal([]byte(first["blobs/sha256/"+index.Manifests[0].Digest.Hex]), &platforms))
	require.Len(t, platforms.Manifests, 2)
	assert.Equal(t, "amd64", platforms.Manifests[0].Platform.Architecture)
	assert.Equal(t, "arm64", platforms.Manifests[1].Platform.Architecture)
}

// contents returns the files of an image; of links the target.
func contents(t *testing.T, built v1.Image) map[string]string {
	t.Helper()
	reader := mutate.Extract(built)
	defer reader.Close()
	return read(t, reader)
}

func untar(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	return read(t, file)
}

func read(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		text, err := io.ReadAll(reader)
		require.NoError(t, err)
		files[header.Name] = string(text)
		if header.Typeflag == tar.TypeDir {
			files[header.Name] = os.FileMode(header.Mode).String()
		}
		if header.Linkname != "" {
			files[header.Name] = "-> " + header.Linkname
		}
	}
}
