package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
)

// CacheFile keeps the last value of something on disk, for the next start.
type CacheFile[T any] struct{ Path string }

// Load returns what was saved last. Nothing, or nothing readable, is no error:
// the API server will tell it again.
func (m CacheFile[T]) Load() (value T, ok bool) {
	data, err := os.ReadFile(m.Path)
	if err != nil {
		return value, false
	}
	if err := json.Unmarshal(data, &value); err != nil {
		var none T
		return none, false
	}
	return value, true
}

// Save replaces the file.
func (m CacheFile[T]) Save(value T) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Path, err)
	}
	if old, err := os.ReadFile(m.Path); err == nil && string(old) == string(data) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", m.Path, err)
	}
	if err := renameio.WriteFile(m.Path, data, 0o600); err != nil {
		return fmt.Errorf("keep what the cluster told: %w", err)
	}
	return nil
}
