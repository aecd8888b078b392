package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SysctlStore keeps, over restarts, what sysctls were before Meshway set them.
type SysctlStore interface {
	// Load returns what Save saved last, or nothing.
	Load() ([]SavedSysctl, error)
	Save([]SavedSysctl) error
}

// SavedSysctl is a sysctl as it was, and as Meshway set it: it is put back only
// while it still has our value.
type SavedSysctl struct {
	Key    string `json:"key"` // path below /proc/sys
	Before string `json:"before"`
	Ours   string `json:"ours"`
}

// FileStore is a SysctlStore in one JSON file, which is replaced atomically.
type FileStore string

// Load reads the file; a missing one is an empty store.
func (f FileStore) Load() ([]SavedSysctl, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read former sysctls: %w", err)
	}
	var formers []SavedSysctl
	if err := json.Unmarshal(data, &formers); err != nil {
		return nil, fmt.Errorf("parse %s: %w (remove the file to forget the former sysctls)", string(f), err)
	}
	return formers, nil
}

// Save writes the file, or removes it when there is nothing to keep.
func (f FileStore) Save(formers []SavedSysctl) error {
	if len(formers) == 0 {
		if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove former sysctls: %w", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(formers, "", "\t")
	if err != nil {
		return fmt.Errorf("encode former sysctls: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("write former sysctls: %w", err)
	}
	next := string(f) + ".next"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write former sysctls: %w", err)
	}
	if err := os.Rename(next, string(f)); err != nil {
		return fmt.Errorf("write former sysctls: %w", err)
	}
	return nil
}
