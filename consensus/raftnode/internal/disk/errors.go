package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// explain adds path and a remedy to an error of a file or directory.
func explain(path string, err error) error {
	remedy := ""
	var damage *logstore.DamageError
	switch {
	case errors.As(err, &damage):
		return corrupt(path, err)
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, logstore.ErrLocked):
		remedy = "another process has it open: stop the other meshd, or give this one its own data directory"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		remedy = "the disk is full: free space there and start again; nothing is lost"
	case errors.Is(err, syscall.EROFS):
		remedy = "the file system is read-only: remount it, or choose another data directory"
	case errors.Is(err, os.ErrPermission):
		remedy = "make the directory and its files belong to the user that runs meshd"
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return corrupt(path, err)
	}
	if remedy == "" {
		return fmt.Errorf("open catalog store %s: %w", path, err)
	}
	return fmt.Errorf("open catalog store %s: %w: %s", path, err, remedy)
}

// corrupt returns the error for content that cannot be read.
func corrupt(path string, err error) error {
	return fmt.Errorf("catalog store %s is corrupt: %w: %s", path, err, corruptionRemedy)
}
