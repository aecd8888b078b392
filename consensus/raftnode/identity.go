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

// identity says whose log a directory holds. Two gateways that answer under one
// id, or one that answers with another's log, could vote twice.
type identity struct {
	Gateway    catalog.GatewayID `json:"gateway"`
	Federation string            `json:"federation,omitempty"` // empty until the first entry is known
}

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

// writeIdentity replaces the file in one step.
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

// claim checks that dir belongs to conf's gateway and federation, and marks a
// new directory as theirs. federation is what the catalog in dir says.
func claim(conf Config, federation string) error {
	have, err := readIdentity(conf.Dir)
	if err != nil {
		return err
	}
	if have.Gateway != "" && have.Gateway != conf.ID {
		return fmt.Errorf("catalog store %s belongs to gateway %s, not to %s: "+
			"set datacenter and gateway name back, or give this gateway an empty data directory",
			conf.Dir, have.Gateway, conf.ID)
	}
	if federation == "" {
		federation = have.Federation
	}
	if conf.Federation != "" && federation != "" && federation != conf.Federation {
		return fmt.Errorf("catalog store %s belongs to federation %s, not to %s: "+
			"leave that federation first, or give this gateway an empty data directory",
			conf.Dir, federation, conf.Federation)
	}
	if federation == "" {
		federation = conf.Federation
	}
	want := identity{Gateway: conf.ID, Federation: federation}
	if have == want {
		return nil
	}
	return writeIdentity(conf.Dir, want)
}
