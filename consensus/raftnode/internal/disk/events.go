package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// EventsFile is the name of the file with the events of entries that are no longer in the
// log.
const EventsFile = "events.json"

// BeforeCut makes the store call f before it deletes entries. It must be called before
// StartRaft.
func (s *Store) BeforeCut(f func(from, to uint64)) { s.beforeCut = f }

func (s *Store) cut(from, to uint64) {
	if s.beforeCut != nil {
		s.beforeCut(from, to)
	}
}

// ReadEvents returns the content of the file, and its path; nil: there is none.
func (s *Store) ReadEvents() (data []byte, path string, err error) {
	path = filepath.Join(s.dir, EventsFile)
	data, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, nil
	}
	return data, path, err
}

// WriteEvents replaces the content of the file.
func (s *Store) WriteEvents(data []byte) error {
	path := filepath.Join(s.dir, EventsFile)
	err := s.write(func() error {
		if s.disk != nil {
			if _, err := s.disk.Write(len(data)); err != nil {
				return err
			}
			if err := s.disk.Sync(); err != nil {
				return err
			}
		}
		return renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(s.dir))
	})
	if err != nil {
		return explain(path, err)
	}
	return nil
}
