package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile bounds the size of a file that is read, in bytes. All files of a data
// directory are far smaller.
const maxFile = 64 << 10

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// checkDirectory refuses a directory in which another user may have created files,
// and changes the mode of one that other users can only read.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open data directory %s: not a directory; set dataDir to a directory", dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&0o022 != 0 {
		return fmt.Errorf("open data directory %s: mode %#o permits other users to write; check its content, then run \"chmod 0700 %s\"", dir, mode, dir)
	}
	if mode&0o055 != 0 {
		// An installer or systemd's StateDirectory= created it.
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("open data directory: %w", err)
		}
	}
	return nil
}

// checkOwner refuses files that belong neither to this user nor to root, because
// their owner could change them.
func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if uid := os.Geteuid(); int(stat.Uid) != uid && stat.Uid != 0 {
		return fmt.Errorf("open %s: the owner is user %d and meshd runs as user %d; run \"chown %d %s\"", path, stat.Uid, uid, uid, path)
	}
	return nil
}

// readPrivate reads a file that only its owner may be able to read.
func (s *Store) readPrivate(name string) ([]byte, error) {
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, s.readError(name, err)
	}
	if err := checkOwner(s.path(name), info); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read %s: mode %#o permits other users to read a private key; if no other user can have read it, run \"chmod 0600 %s\"",
			s.path(name), mode, s.path(name))
	}
	return s.read(name)
}

func (s *Store) read(name string) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, s.readError(name, err)
	}
	text, err := readBounded(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, s.readError(name, err)
	}
	return text, nil
}

func readBounded(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return text, err
}

// write replaces a file atomically: a reader finds the old or the new content, even
// after a crash, also of the rename, which renameio does not make durable. The mode
// of the file is 0600.
func (s *Store) write(name string, text []byte) error {
	temporary := "." + name + ".new"
	err := s.writeTemporary(temporary, text)
	if err == nil {
		err = s.root.Rename(temporary, name)
	}
	if err != nil {
		_ = s.root.Remove(temporary) // the next write replaces it anyway
		return fmt.Errorf("write %s: %w%s", s.path(name), cause(err), writeRemedy(err))
	}
	return s.sync()
}

func (s *Store) writeTemporary(name string, text []byte) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// sync makes renames and removals in the directory durable.
func (s *Store) sync() error {
	d, err := s.root.Open(".")
	if err != nil {
		return fmt.Errorf("sync data directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync data directory: %w", err)
	}
	return nil
}

func (s *Store) readError(name string, err error) error {
	remedy := ""
	if errors.Is(err, fs.ErrPermission) {
		remedy = "; run meshd as root or as the owner of the file"
	}
	return fmt.Errorf("read %s: %w%s", s.path(name), cause(err), remedy)
}

// cause returns err without the operation and the path of a *fs.PathError, which the
// message already contains.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func writeRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; free space on that file system and start meshd again"
	case errors.Is(err, syscall.EROFS):
		return "; set dataDir to a directory that can be written"
	case errors.Is(err, fs.ErrPermission):
		return "; run meshd as root or as the owner of the directory"
	}
	return ""
}

func (s *Store) corruptError(name string, err error) error {
	return fmt.Errorf("read %s: the file is corrupt: %w; restore it from a backup, or remove the directory %s and join again", s.path(name), err, s.dir)
}

func (s *Store) missingError(name, otherwise string) error {
	return fmt.Errorf("read %s: the file existed before and is missing; restore it from a backup; if there is none, %s", s.path(name), otherwise)
}

func (s *Store) mismatchError(what, have, want string) error {
	return fmt.Errorf("open data directory %s: the directory belongs to %s %q and this is %q; set dataDir to another directory, or restore the %s in the configuration",
		s.dir, what, have, want, what)
}
