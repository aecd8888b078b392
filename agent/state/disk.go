package state

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// disk is where a journal is kept.
type disk interface {
	ReadFile(path string) ([]byte, error)
	Create(path string) (diskFile, error) // empty, readable by its owner only
	Rename(from, to string) error         // on the disk when it returns
	Remove(path string) error
}

type diskFile interface {
	io.WriterAt
	io.Closer
	Sync() error // brings the content to the disk
}

// replaceFile replaces a file by one with data, followed by zeros up to size, and
// returns it. After a crash there is the old file or the new one.
//
// It is written page by page: the kernel keeps what is written at once together in
// memory, and would count all of it as changed by each later write.
func replaceFile(d disk, path string, data []byte, size int) (diskFile, error) {
	temporary := path + ".tmp"
	f, err := d.Create(temporary)
	if err != nil {
		return nil, err
	}
	if err := fill(f, data, size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := d.Rename(temporary, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fill writes data and zeros, and brings them to the disk.
func fill(f diskFile, data []byte, size int) error {
	page := make([]byte, pageSize)
	for offset := 0; offset < size; offset += pageSize {
		clear(page)
		copy(page, data[min(offset, len(data)):])
		if _, err := f.WriteAt(page[:min(pageSize, size-offset)], int64(offset)); err != nil {
			return err
		}
	}
	return f.Sync()
}

// hostDisk is the file system of the host.
type hostDisk struct{}

func (hostDisk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (hostDisk) Create(path string) (diskFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return hostFile{f}, nil
}

func (hostDisk) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (hostDisk) Remove(path string) error { return os.Remove(path) }

type hostFile struct{ *os.File }

func (f hostFile) Sync() error { return datasync(f.File) }
