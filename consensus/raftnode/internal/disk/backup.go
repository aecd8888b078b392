package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// BackUp copies the log, the snapshots and the events into a new directory.
func (s *Store) BackUp(to string) error {
	if err := s.copyTo(to); err != nil {
		return explain(to, err)
	}
	return nil
}

func (s *Store) copyTo(to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, name := range []string{boltFile, EventsFile} {
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if name == EventsFile && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(filepath.Join(to, name), data, 0o600, renameio.WithTempDir(to)); err != nil {
			return err
		}
	}
	copied := []string{snapshotsDir}
	if s.wal != nil {
		copied = append(copied, walDir)
	}
	for _, name := range copied {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(s.dir, name))); err != nil {
			return err
		}
	}
	return syncTree(to)
}

// syncTree syncs all files and directories: what a backup is made for overwrites the
// original.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
