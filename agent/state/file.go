// Package state keeps small values over restarts, each in a JSON file of its
// own that a crash leaves whole.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// File holds one value of type T as JSON, readable by its owner only.
type File[T any] struct {
	Path   string
	What   string // what the file holds, for errors: "registrations"
	Remedy string // what an operator can do about a file that is corrupt
}

// Load returns the value and whether the file exists. A corrupt file is an
// error and is left as it is.
func (f File[T]) Load() (value T, found bool, err error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return value, false, nil
	}
	if err != nil {
		return value, false, fmt.Errorf("read %s: %w", f.What, err)
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, false, fmt.Errorf("read %s: %s is corrupt: %w: %s", f.What, f.Path, err, f.Remedy)
	}
	return value, true, nil
}

// Save replaces the value. After a crash the file holds the old value or the
// new one.
func (f File[T]) Save(value T) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.What, err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", f.What, err)
	}
	if err := renameio.WriteFile(f.Path, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", f.What, err)
	}
	return nil
}

// Remove deletes the file. It is no error if there is none.
func (f File[T]) Remove() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", f.What, err)
	}
	return nil
}
