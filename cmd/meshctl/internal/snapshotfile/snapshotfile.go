// Package snapshotfile reads and writes the files of catalog snapshots.
package snapshotfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/archive"
)

// Write replaces a file atomically. The mode is 0600, also if the former file had
// another one. renameio, which meshd uses, does not support Windows.
func Write(file string, content []byte) (err error) {
	pending, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(pending.Name()))
		}
	}()
	_, err = pending.Write(content)
	if err == nil {
		err = pending.Sync()
	}
	if err := errors.Join(err, pending.Close()); err != nil {
		return err
	}
	return os.Rename(pending.Name(), file)
}

// Read returns the content of a file, which may have the size of an archive.
func Read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > archive.MaxFile {
		return nil, invalid(fmt.Sprintf("%s has %d bytes, a snapshot at most %d", file, info.Size(), archive.MaxFile))
	}
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
		return info, invalid(file + ": " + err.Error())
	}
	return info, nil
}

func invalid(message string) error {
	return &fault.Fault{
		Code:    fault.ExitFailure,
		Message: message,
		Field:   "FILE",
		Remedy:  "use a complete copy of a file written by `meshctl snapshot save`",
	}
}
