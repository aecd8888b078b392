// Package archive writes archives whose bytes depend on their files only: sorted, of
// root, and with one time.
package archive

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is a file, or a directory, in an archive.
type File struct {
	Path   string // in the archive
	Source string // the file that is copied
	Text   string // content if Source is empty
	Mode   fs.FileMode
}

// Tree returns the regular files below dir, with their paths below prefix and mode 0644.
func Tree(dir, prefix string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		files = append(files, File{Path: prefix + filepath.ToSlash(relative), Source: path, Mode: 0o644})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list files of %s: %w", dir, err)
	}
	return files, nil
}

// Write writes an archive of files into a new file: a zip if its name ends with .zip, a
// compressed tar otherwise.
func Write(name string, files []File, modified time.Time) (err error) {
	out, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("create archive: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	if strings.HasSuffix(name, ".zip") {
		err = writeZip(out, sorted, modified)
	} else {
		err = writeTar(out, sorted, modified)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

func writeTar(w io.Writer, files []File, modified time.Time) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(compressed)
	for _, file := range files {
		content, size, err := file.open()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: file.Path, Typeflag: tar.TypeReg, Mode: int64(file.Mode), Size: size, ModTime: modified}
		err = out.WriteHeader(header)
		if err == nil {
			_, err = io.Copy(out, content)
		}
		if err := errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("add %s: %w", file.Path, err)
		}
	}
	return errors.Join(out.Close(), compressed.Close())
}

func writeZip(w io.Writer, files []File, modified time.Time) error {
	out := zip.NewWriter(w)
	for _, file := range files {
		content, _, err := file.open()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: file.Path, Method: zip.Deflate, Modified: modified}
		header.SetMode(file.Mode)
		entry, err := out.CreateHeader(header)
		if err == nil {
			_, err = io.Copy(entry, content)
		}
		if err := errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("add %s: %w", file.Path, err)
		}
	}
	return out.Close()
}

func (f File) open() (io.ReadCloser, int64, error) {
	if f.Source == "" {
		return io.NopCloser(strings.NewReader(f.Text)), int64(len(f.Text)), nil
	}
	file, err := os.Open(f.Source)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}
