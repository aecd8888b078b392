package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// DrainFile remembers, while it exists, that this gateway is drained.
type DrainFile struct{ Path string }

// drained is its content.
type drained struct {
	Until time.Time `json:"until,omitzero"`
}

// Load tells whether the gateway is drained, and until when; zero: until Clear.
func (f DrainFile) Load() (until time.Time, is bool, err error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read drain: %w", err)
	}
	var d drained
	if err := json.Unmarshal(data, &d); err != nil {
		return time.Time{}, false, fmt.Errorf("drain %s is corrupt: %w: remove the file to take the gateway back into use", f.Path, err)
	}
	return d.Until, true, nil
}

// Save remembers that the gateway is drained.
func (f DrainFile) Save(until time.Time) error {
	data, err := json.Marshal(drained{until})
	if err != nil {
		return fmt.Errorf("encode drain: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("make directory of drain: %w", err)
	}
	if err := renameio.WriteFile(f.Path, data, 0o600); err != nil {
		return fmt.Errorf("write drain: %w", err)
	}
	return nil
}

// Clear forgets it; not being drained is no error.
func (f DrainFile) Clear() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove drain: %w", err)
	}
	return nil
}
