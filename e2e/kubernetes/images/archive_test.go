package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entries returns the content of the files of an archive, by name.
func entries(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		switch header.Typeflag {
		case tar.TypeSymlink:
			content = []byte("-> " + header.Linkname)
		case tar.TypeDir:
			content = []byte(os.FileMode(header.Mode).String())
		}
		found[header.Name] = string(content)
	}
}

func TestArchiveContainsTheImageAndIsReproducible(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(source, []byte("binary"), 0o644))
	image := Image{
		Name: "meshway.test/a:1", Entrypoint: []string{"/usr/bin/a"}, Env: []string{"A=b"},
		Files: []File{
			{Path: "/usr/bin/a", Source: source},
			{Path: "/usr/bin/b", Link: "a"},
			{Path: "/etc/a.conf", Text: "text"},
			{Path: "/tmp/", Mode: 0o777},
		},
	}
	var first, second bytes.Buffer
	require.NoError(t, Write(&first, image))
	require.NoError(t, Write(&second, image))
	assert.Equal(t, first.Bytes(), second.Bytes())

	archive := entries(t, &first)
	var manifest []manifestEntry
	require.NoError(t, json.Unmarshal([]byte(archive["manifest.json"]), &manifest))
	require.Len(t, manifest, 1)
	assert.Equal(t, []string{"meshway.test/a:1"}, manifest[0].RepoTags)
	var c config
	require.NoError(t, json.Unmarshal([]byte(archive[manifest[0].Config]), &c))
	assert.Equal(t, []string{"/usr/bin/a"}, c.Config.Entrypoint)
	assert.Contains(t, c.Config.Env, "A=b")
	assert.Equal(t, map[string]string{
		"usr/": "-rwxr-xr-x", "usr/bin/": "-rwxr-xr-x", "usr/bin/a": "binary", "usr/bin/b": "-> a",
		"etc/": "-rwxr-xr-x", "etc/a.conf": "text", "tmp/": "-rwxrwxrwx",
	}, entries(t, bytes.NewBufferString(archive[manifest[0].Layers[0]])))
}

func TestErrorsNameTheFileThatCannotBeAdded(t *testing.T) {
	for name, file := range map[string]File{
		"a/b":     {Path: "a/b", Text: "relative"},
		"/a":      {Path: "/a", Source: "/does/not/exist"},
		"image x": {Path: "/a", Source: "/does/not/exist"},
	} {
		assert.ErrorContains(t, Write(io.Discard, Image{Name: "x", Files: []File{file}}), name)
	}
}

func TestLibrariesAreParsedFromTheOutputOfLdd(t *testing.T) {
	assert.Equal(t, []string{"/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"}, libraries(
		"\tlinux-vdso.so.1 (0x00007ffc)\n\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f1)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n"))
}
