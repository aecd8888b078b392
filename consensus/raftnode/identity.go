package raftnode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshway/meshway/consensus/catalog"
)

// identity is the owner of a directory. Two gateways with one id, or a gateway
// with the log of another, could vote twice.
type identity struct {
	Gateway    catalog.GatewayID `json:"gateway"`
	Federation string            `json:"federation,omitempty"` // empty until the first entry is known
}

// readIdentity returns the zero identity for a new directory.
func readIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, explain(path, err)
	}
	var id identity
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&id); err != nil {
		return identity{}, corrupt(path, err)
	}
	return id, nil
}

// writeIdentity replaces the file atomically.
func writeIdentity(dir string, id identity) error {
	path := filepath.Join(dir, identityFile)
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	temp := path + ".tmp"
	if err := writeSynced(temp, append(data, '\n')); err != nil {
		return explain(path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return explain(path, err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// bindDirectory checks that the directory belongs to the gateway and federation
// of cfg, and makes them the owner of a new directory. federation is that of the
// catalog in the directory; empty: unknown.
func bindDirectory(cfg Config, federation string) error {
	have, err := readIdentity(cfg.Dir)
	if err != nil {
		return err
	}
	if have.Gateway != "" && have.Gateway != cfg.ID {
		return fmt.Errorf("catalog store %s belongs to gateway %s, not to %s: "+
			"set datacenter and gateway name back, or give this gateway an empty data directory",
			cfg.Dir, have.Gateway, cfg.ID)
	}
	if federation == "" {
		federation = have.Federation
	}
	if cfg.Federation != "" && federation != "" && federation != cfg.Federation {
		return fmt.Errorf("catalog store %s belongs to federation %s, not to %s: "+
			"leave that federation first, or give this gateway an empty data directory",
			cfg.Dir, federation, cfg.Federation)
	}
	if federation == "" {
		federation = cfg.Federation
	}
	want := identity{Gateway: cfg.ID, Federation: federation}
	if have == want {
		return nil
	}
	return writeIdentity(cfg.Dir, want)
}
