package archive_test

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/archive"
)

func TestBytesOfAnArchiveDependOnItsFilesAlone(t *testing.T) {
	modified := time.Unix(1700000000, 0)
	for name, list := range map[string]func(*testing.T, string) []string{"a.tar.gz": listTar, "a.zip": listZip} {
		t.Run(name, func(t *testing.T) {
			var bytes [2][]byte
			for i := range bytes {
				program := filepath.Join(t.TempDir(), fmt.Sprint("program", i))
				require.NoError(t, os.WriteFile(program, []byte("binary"), 0o600))
				require.NoError(t, os.Chtimes(program, time.Now(), time.Now().Add(time.Duration(i)*time.Hour)))
				files := []archive.File{
					{Path: "meshctl", Source: program, Mode: 0o755},
					{Path: "LICENSE", Text: "free", Mode: 0o644},
				}
				if i == 1 {
					files[0], files[1] = files[1], files[0]
				}
				file := filepath.Join(t.TempDir(), name)
				require.NoError(t, archive.Write(file, files, modified))
				assert.Equal(t, []string{"-rw-r--r-- LICENSE free 1700000000", "-rwxr-xr-x meshctl binary 1700000000"}, list(t, file))
				var err error
				bytes[i], err = os.ReadFile(file)
				require.NoError(t, err)
			}
			assert.Equal(t, bytes[0], bytes[1])
		})
	}
}

func listTar(t *testing.T, name string) []string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	compressed, err := gzip.NewReader(file)
	require.NoError(t, err)
	var found []string
	for reader := tar.NewReader(compressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		found = append(found, fmt.Sprintf("%s %s %s %d", os.FileMode(header.Mode), header.Name, content, header.ModTime.Unix()))
	}
}

func listZip(t *testing.T, name string) []string {
	t.Helper()
	reader, err := zip.OpenReader(name)
	require.NoError(t, err)
	defer reader.Close()
	var found []string
	for _, entry := range reader.File {
		content, err := entry.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(content)
		require.NoError(t, err)
		found = append(found, fmt.Sprintf("%s %s %s %d", entry.Mode(), entry.Name, text, entry.Modified.Unix()))
	}
	return found
}
