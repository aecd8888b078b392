// Package snapshotfile reads and writes the files of catalog snapshots.
package snapshotfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/archive"
)

// Write replaces a file atomically. The mode is 0600, also if the former file
// had another one, which renameio.WriteFile would keep.
func Write(file string, content []byte) error {
	pending, err := renameio.NewPendingFile(file, renameio.WithStaticPermissions(0o600), renameio.WithTempDir(filepath.Dir(file)))
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // does nothing after the replacement
	if _, err := pending.Write(content); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

// Read returns the content of a file.
func Read(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Fault{
			Code:    fault.ExitFailure,
			Message: "no such file: " + file,
			Field:   "FILE",
			Remedy:  "create a snapshot with `meshctl snapshot save FILE`",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return content, nil
}

// Inspect verifies the content of a snapshot file and returns its description.
func Inspect(file string, content []byte) (archive.Info, error) {
	info, err := archive.Inspect(content)
	if err != nil {
		return info, &fault.Fault{
			Code:    fault.ExitFailure,
			Message: file + ": " + err.Error(),
			Field:   "FILE",
			Remedy:  "use a complete copy of a file written by `meshctl snapshot save`",
		}
	}
	return info, nil
}
