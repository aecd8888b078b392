package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
)

// CacheFile caches the last observed value in a JSON file for the next start.
type CacheFile[T any] struct{ Path string }

// Load returns the value that was saved last. A file that does not exist or cannot
// be read is no error, because the API server has the value.
func (c CacheFile[T]) Load() (value T, ok bool) {
	data, err := os.ReadFile(c.Path)
	if err != nil {
		return value, false
	}
	if err := json.Unmarshal(data, &value); err != nil {
		var none T
		return none, false
	}
	return value, true
}

// Save replaces the file unless it holds the value already.
func (c CacheFile[T]) Save(value T) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", c.Path, err)
	}
	if old, err := os.ReadFile(c.Path); err == nil && string(old) == string(data) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", c.Path, err)
	}
	if err := renameio.WriteFile(c.Path, data, 0o600); err != nil {
		return fmt.Errorf("write cache: %w", err)
	}
	return nil
}
