package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// verifyFile reads all pages of a log file that are in use. It succeeds if there
// is no file. bbolt reads them when it opens a file for writing, but on a
// goroutine of its own, where its panic over a broken page cannot be recovered;
// and access to a file that was truncated is a memory fault. verifyFile returns
// both as errors.
func verifyFile(path string) (err error) {
	stat, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain(path, err)
	}
	if stat.Size() == 0 { // bbolt initializes it
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(path, fmt.Errorf("%v", r))
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: boltTimeout, ReadOnly: true})
	if err != nil {
		return explain(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.View(readAll(stat.Size())); err != nil {
		return corrupt(path, err)
	}
	return nil
}

// readAll returns a transaction that reads all keys and values; size is the size
// of the file.
func readAll(size int64) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("it has %d bytes of %d", size, tx.Size())
		}
		var sum byte // values are read, not kept
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				for _, part := range [][]byte{key, value} {
					for i := 0; i < len(part); i += 512 {
						sum ^= part[i]
					}
				}
				return nil
			})
		})
	}
}
