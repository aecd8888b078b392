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

// maxFile bounds what is read of a file, bytes; all of ours are far smaller.
const maxFile = 64 << 10

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// checkDirectory refuses a directory into which another user may have put
// things, and closes one that others can only read.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open data directory %s: it is a file; set dataDir to a directory", dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&0o022 != 0 {
		return fmt.Errorf("open data directory %s: mode %#o lets other users write; look at what is in it, then run \"chmod 0700 %s\"", dir, mode, dir)
	}
	if mode&0o055 != 0 {
		// Made by an installer or by systemd's StateDirectory=.
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("open data directory: %w", err)
		}
	}
	return nil
}

// checkOwner wants files to be this user's or root's: others could change them.
func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if uid := os.Geteuid(); int(stat.Uid) != uid && stat.Uid != 0 {
		return fmt.Errorf("open %s: it belongs to user %d and meshd runs as user %d; run \"chown %d %s\"", path, stat.Uid, uid, uid, path)
	}
	return nil
}

// readPrivate reads a file that must be readable by its owner only.
func (s *Store) readPrivate(name string) ([]byte, error) {
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, s.readError(name, err)
	}
	if err := checkOwner(s.path(name), info); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read %s: mode %#o lets other users read a private key; if none of them can have, run \"chmod 0600 %s\"",
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
		return nil, errors.New("it is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return text, err
}

// write replaces a file: whoever reads it, also after a crash, finds the old or
// the new one and never a part. Files are 0600.
func (s *Store) write(name string, text []byte) error {
	temporary := "." + name + ".new"
	err := s.writeTemporary(temporary, text)
	if err == nil {
		err = s.root.Rename(temporary, name)
	}
	if err != nil {
		_ = s.root.Remove(temporary) // the next write would replace it anyway
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

// sync makes renames and removals in the directory last.
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

// cause drops the operation and the path of a *fs.PathError: our message has both.
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

func (s *Store) corrupt(name string, err error) error {
	return fmt.Errorf("read %s: it is corrupt: %w; restore it from a backup, or remove the directory %s, then join again", s.path(name), err, s.dir)
}

func (s *Store) lost(name, otherwise string) error {
	return fmt.Errorf("read %s: it is missing though it was made before; restore it from a backup, or, %s", s.path(name), otherwise)
}

func (s *Store) foreign(what, have, want string) error {
	return fmt.Errorf("open data directory %s: it belongs to %s %q and this one is %q; set dataDir to another directory, or %s back in the configuration",
		s.dir, what, have, want, what)
}
