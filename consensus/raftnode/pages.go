package raftnode

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// verifyPages reads every page in use of a log file, if there is one. Opened for
// writing, bbolt does the same on a goroutine of its own, where its panic over a
// broken page could not be caught; and a file that was cut short makes the
// kernel fault. Here both become errors.
func verifyPages(path string) (err error) {
	stat, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain(path, err)
	}
	if stat.Size() == 0 { // bbolt begins it
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

// readAll visits all keys and values; size is that of the file.
func readAll(size int64) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("it has %d bytes of %d", size, tx.Size())
		}
		var sum byte // values are touched, not kept
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
