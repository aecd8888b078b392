// Package archivetest builds archives as a hostile member would.
package archivetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/archive"
)

// File is a file in an archive.
type File struct {
	Name    string
	Content []byte
}

// Tar returns a gzipped tar of files.
func Tar(t testing.TB, files ...File) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, f := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: int64(len(f.Content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}))
		_, err := w.Write(f.Content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zipped.Close())
	return out.Bytes()
}

// Forge returns an archive of any bytes as the catalog, with their size and hash.
func Forge(t testing.TB, info archive.Info, catalog []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(catalog)
	info.Version, info.Size, info.SHA256 = archive.Version, int64(len(catalog)), hex.EncodeToString(sum[:])
	meta, err := json.Marshal(info)
	require.NoError(t, err)
	return Tar(t, File{"meta.json", meta}, File{"catalog.bin", catalog})
}
