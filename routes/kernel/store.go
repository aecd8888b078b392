package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SysctlStore stores the values that sysctls had before Meshway set them.
type SysctlStore interface {
	// Load returns what Save last saved, nil if nothing was saved.
	Load() ([]SavedSysctl, error)
	// Save replaces the stored list; an empty list clears the store.
	Save(list []SavedSysctl) error
}

// SavedSysctl is a sysctl with the value before Meshway set it, and the value that
// Meshway set. It is restored only while it has the latter.
type SavedSysctl struct {
	Key    string `json:"key"` // path below /proc/sys
	Before string `json:"before"`
	Ours   string `json:"ours"`
}

// FileStore is a SysctlStore in one JSON file with the given path, which is
// replaced atomically.
type FileStore string

// Load implements SysctlStore. A missing file is an empty store.
func (f FileStore) Load() ([]SavedSysctl, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read saved sysctls: %w", err)
	}
	var saved []SavedSysctl
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("parse %s: %w (remove the file to discard the saved sysctls)", string(f), err)
	}
	return saved, nil
}

// Save implements SysctlStore. An empty list removes the file.
func (f FileStore) Save(saved []SavedSysctl) error {
	if len(saved) == 0 {
		if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove saved sysctls: %w", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(saved, "", "\t")
	if err != nil {
		return fmt.Errorf("encode saved sysctls: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("write saved sysctls: %w", err)
	}
	next := string(f) + ".next"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write saved sysctls: %w", err)
	}
	if err := os.Rename(next, string(f)); err != nil {
		return fmt.Errorf("write saved sysctls: %w", err)
	}
	return nil
}
