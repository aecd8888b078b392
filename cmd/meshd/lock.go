package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/identity"
)

// lock acquires the data directory, which one meshd can use at a time. The
// kernel releases the lock when the process ends.
func lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		err = fmt.Errorf("data directory %s is in use by process %s: %w; stop that meshd, or choose another dataDir",
			dir, strings.TrimSpace(string(owner)), err)
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Truncate(0), writePID(file)); err != nil {
		return nil, fmt.Errorf("lock data directory: %w", errors.Join(err, file.Close()))
	}
	return func() { _ = file.Close() }, nil
}

// openLocked opens what is stored in the data directory, for this process alone.
func openLocked(dir string) (store *identity.Store, unlock func(), err error) {
	if store, err = identity.Open(dir); err != nil {
		return nil, nil, err
	}
	release, err := lock(dir)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, func() { release(); _ = store.Close() }, nil
}

func writePID(file *os.File) error {
	_, err := fmt.Fprintln(file, os.Getpid())
	return err
}
