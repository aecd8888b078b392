package disk

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"
)

// raftStore is raft's access to the disk. Raft panics when it cannot store its term
// or read an entry, and continues with a wrong state of its log when appending
// fails after a truncation. raftStore stops the node instead: it passes the first
// error to fail, which ends Run, and ends raft's goroutine.
type raftStore struct {
	raft.LogStore
	raft.StableStore
	path    string        // of the log
	applied func() uint64 // index of the last entry that is in the local copy of the catalog
	fail    func(error)
}

var (
	_ raft.MonotonicLogStore = (*raftStore)(nil)
	_ raft.LogStore          = (*raftStore)(nil)
	_ raft.StableStore       = (*raftStore)(nil)
)

// IsMonotonic implements raft.MonotonicLogStore: raft deletes a log that accepts no
// gap when it restores a snapshot.
func (s *raftStore) IsMonotonic() bool { return isMonotonic(s.LogStore) }

// GetLog implements raft.LogStore. Raft expects that an entry can be missing; any
// other error ends the goroutine.
func (s *raftStore) GetLog(index uint64, entry *raft.Log) error {
	err := protect(func() error { return s.LogStore.GetLog(index, entry) })
	if err != nil && err != raft.ErrLogNotFound { //nolint:errorlint // raft compares it so
		s.stop("read", err)
	}
	return err
}

func (s *raftStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s *raftStore) StoreLogs(entries []*raft.Log) error {
	return s.write(func() error { return s.LogStore.StoreLogs(entries) })
}

// errApplied is the reason why entries are not deleted.
var errApplied = errors.New("entries that are applied are not replaced")

// DeleteRange implements raft.LogStore. It refuses to delete the end of a log from an entry
// that is applied, as an entry of another term in its place would have it: no honest leader
// has one. What the entry changed would stay in this copy of the catalog only. Raft ignores
// such a message.
func (s *raftStore) DeleteRange(from, to uint64) error {
	var first uint64
	err := protect(func() (err error) {
		first, err = s.FirstIndex()
		return err
	})
	if err == nil && from > first && from <= s.applied() {
		return errApplied
	}
	return s.write(func() error { return s.LogStore.DeleteRange(from, to) })
}

func (s *raftStore) Set(key, value []byte) error {
	return s.write(func() error { return s.StableStore.Set(key, value) })
}

func (s *raftStore) SetUint64(key []byte, value uint64) error {
	return s.write(func() error { return s.StableStore.SetUint64(key, value) })
}

func (s *raftStore) write(f func() error) error {
	if err := protect(f); err != nil {
		s.stop("write", err)
	}
	return nil
}

// stop reports err and ends the calling goroutine after its deferred calls: raft
// must not act on a disk that failed.
func (s *raftStore) stop(verb string, err error) {
	s.fail(storeError(verb, s.path, err))
	runtime.Goexit()
}

func storeError(verb, path string, err error) error {
	return fmt.Errorf("%s catalog store: %w", verb, explain(path, err))
}

// protect returns a panic of bbolt as an error.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

func isMonotonic(log raft.LogStore) bool {
	monotonic, ok := log.(raft.MonotonicLogStore)
	return ok && monotonic.IsMonotonic()
}
