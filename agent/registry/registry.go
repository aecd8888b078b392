// Package registry keeps a gateway's own service registrations on its disk.
// They are what the catalog has to say of this gateway: a registration that
// finds no leader waits here until there is one.
package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/meshway/meshway/consensus/catalog"
)

// File is the registrations of one gateway, in a JSON file.
type File struct{ Path string }

// Load returns the registrations; none if the file does not exist.
func (f File) Load() ([]catalog.Service, error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registrations: %w", err)
	}
	var services []catalog.Service
	if err := json.Unmarshal(data, &services); err != nil {
		return nil, fmt.Errorf("registrations %s are corrupt: %w: restore the file, or move it away and register the services again", f.Path, err)
	}
	return services, nil
}

// Save replaces the registrations; after a crash the file holds the old or the new ones.
func (f File) Save(services []catalog.Service) error {
	data, err := json.MarshalIndent(services, "", "  ")
	if err != nil {
		return fmt.Errorf("encode registrations: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("make directory of registrations: %w", err)
	}
	if err := renameio.WriteFile(f.Path, data, 0o600); err != nil {
		return fmt.Errorf("write registrations: %w", err)
	}
	return nil
}
