package logstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// files is the directory of a log.
type files interface {
	List() ([]string, error)
	Open(name string) (file, error)
	Create(name string) (file, error)
	Rename(from, to string) error // on the disk when it returns
	Remove(name string) error     // on the disk when it returns
}

// file is a segment.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error // brings the content to the disk
}

// ErrLocked is the error of Open for a directory that another process has open.
var ErrLocked = errors.New("the log is locked")

const lockFile = "lock"

// lockTimeout is how long a locked directory is tried. A process that this one starts has
// the lock until it executes its program, also after Close; and another meshd may be
// about to end.
const (
	lockTimeout  = time.Second
	lockInterval = 10 * time.Millisecond
)

// lock locks the directory until the returned file is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(lockInterval)
	defer again.Stop()
	for end := time.Now().Add(lockTimeout); ; <-again.C {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// directory is the directory of a log in the file system.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d directory) Open(name string) (file, error) { return d.open(name, os.O_RDWR) }

func (d directory) Create(name string) (file, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d directory) open(name string, flags int) (file, error) {
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := readByPage(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

func (d directory) Rename(from, to string) error {
	if err := os.Rename(d.path(from), d.path(to)); err != nil {
		return err
	}
	return SyncDirectory(string(d))
}

func (d directory) Remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil {
		return err
	}
	return SyncDirectory(string(d))
}

// SyncDirectory brings the names of a directory to the disk.
func SyncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error { return datasync(f.File) }
