package disk

import (
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
	path   string // of the log
	inBolt bool   // the log is in raft.db
	disk   Disk   // nil: that of the host
	fail   func(error)
}

var (
	_ raft.MonotonicLogStore = (*raftStore)(nil)
	_ raft.LogStore          = (*raftStore)(nil)
	_ raft.StableStore       = (*raftStore)(nil)
)

func newRaftStore(s *Store, fail func(error)) *raftStore {
	return &raftStore{LogStore: s.logs(), StableStore: s.bolt, path: s.logPath(), inBolt: s.wal == nil, disk: s.disk, fail: fail}
}

// IsMonotonic implements raft.MonotonicLogStore: raft deletes a log that accepts no
// gap when it restores a snapshot.
func (s *raftStore) IsMonotonic() bool {
	monotonic, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && monotonic.IsMonotonic()
}

// GetLog implements raft.LogStore. Raft expects that an entry can be missing; any
// other error ends the goroutine.
func (s *raftStore) GetLog(index uint64, entry *raft.Log) error {
	err := s.protect(func() error { return s.LogStore.GetLog(index, entry) })
	if err != nil && err != raft.ErrLogNotFound { //nolint:errorlint // raft compares it so
		s.stop("read", err)
	}
	return err
}

func (s *raftStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s *raftStore) StoreLogs(entries []*raft.Log) error {
	return s.writeLog(func() error { return s.LogStore.StoreLogs(entries) })
}

func (s *raftStore) DeleteRange(from, to uint64) error {
	return s.writeLog(func() error { return s.LogStore.DeleteRange(from, to) })
}

// writeLog is write for the log. Segments report to the disk themselves.
func (s *raftStore) writeLog(f func() error) error {
	if s.inBolt {
		return s.writeBolt(f)
	}
	return s.write(f)
}

func (s *raftStore) Set(key, value []byte) error {
	return s.writeBolt(func() error { return s.StableStore.Set(key, value) })
}

func (s *raftStore) SetUint64(key []byte, value uint64) error {
	return s.writeBolt(func() error { return s.StableStore.SetUint64(key, value) })
}

// writeBolt is write for raft.db, whose writes the disk does not see.
func (s *raftStore) writeBolt(f func() error) error {
	return s.write(func() error {
		if s.disk != nil {
			if err := s.disk.Sync(); err != nil {
				return err
			}
		}
		return f()
	})
}

func (s *raftStore) write(f func() error) error {
	if s.disk != nil {
		s.disk.Wait()
	}
	if err := s.protect(f); err != nil {
		s.stop("write", err)
	}
	return nil
}

// protect returns a panic of bbolt as an error.
func (s *raftStore) protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// stop reports err and ends the calling goroutine after its deferred calls: raft
// must not act on a disk that failed.
func (s *raftStore) stop(verb string, err error) {
	s.fail(fmt.Errorf("%s catalog store: %w", verb, explain(s.path, err)))
	runtime.Goexit()
}
