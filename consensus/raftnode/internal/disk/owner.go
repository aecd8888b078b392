package disk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/meshway/meshway/consensus/catalog"
)

// OwnerFile is the name of the file that contains the owner.
const OwnerFile = "identity.json"

// Owner is the gateway that a directory belongs to. Two gateways with one id, or one
// with the log of another, could vote twice.
type Owner struct {
	Gateway    catalog.GatewayID `json:"gateway"`
	Federation string            `json:"federation,omitempty"` // empty until the first entry is known
}

// ReadOwner returns the zero owner for a new directory.
func ReadOwner(dir string) (Owner, error) {
	path := filepath.Join(dir, OwnerFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Owner{}, nil
	}
	if err != nil {
		return Owner{}, explain(path, err)
	}
	var id Owner
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&id); err != nil {
		return Owner{}, corrupt(path, err)
	}
	return id, nil
}

// writeOwner replaces the file atomically.
func writeOwner(dir string, id Owner) error {
	path := filepath.Join(dir, OwnerFile)
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the owner: %w", err)
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o600, renameio.WithTempDir(dir)); err != nil {
		return explain(path, err)
	}
	return nil
}

// Bind checks that the directory belongs to want, and makes want the owner of a
// new directory. federation is that of the catalog in the directory; empty:
// unknown.
func (s *Store) Bind(want Owner, federation string) error {
	have, err := ReadOwner(s.dir)
	if err != nil {
		return err
	}
	if have.Gateway != "" && have.Gateway != want.Gateway {
		return fmt.Errorf("catalog store %s belongs to gateway %s, not to %s: "+
			"set datacenter and gateway name back, or give this gateway an empty data directory",
			s.dir, have.Gateway, want.Gateway)
	}
	if federation == "" {
		federation = have.Federation
	}
	if want.Federation != "" && federation != "" && federation != want.Federation {
		return fmt.Errorf("catalog store %s belongs to federation %s, not to %s: "+
			"leave that federation first, or give this gateway an empty data directory",
			s.dir, federation, want.Federation)
	}
	if federation != "" {
		want.Federation = federation
	}
	if have == want {
		return nil
	}
	return writeOwner(s.dir, want)
}
