package disk

import "github.com/hashicorp/raft"

// watchedLog is a log whose writes wait for a Disk, and whose cuts are announced.
type watchedLog struct {
	raft.LogStore
	write  func(func() error) error
	before func(from, to uint64) // is called before entries are deleted
}

// IsMonotonic implements raft.MonotonicLogStore.
func (l watchedLog) IsMonotonic() bool { return isMonotonic(l.LogStore) }

func (l watchedLog) StoreLogs(entries []*raft.Log) error {
	return l.write(func() error { return l.LogStore.StoreLogs(entries) })
}

func (l watchedLog) DeleteRange(from, to uint64) error {
	l.before(from, to)
	return l.write(func() error { return l.LogStore.DeleteRange(from, to) })
}

// watchedStable is a raft.StableStore whose writes wait for a Disk.
type watchedStable struct {
	raft.StableStore
	write func(func() error) error
}

func (s watchedStable) Set(key, value []byte) error {
	return s.write(func() error { return s.StableStore.Set(key, value) })
}

func (s watchedStable) SetUint64(key []byte, value uint64) error {
	return s.write(func() error { return s.StableStore.SetUint64(key, value) })
}

// writeBolt makes a write of raft.db, which the disk does not see.
func (s *Store) writeBolt(f func() error) error {
	return s.write(func() error {
		if s.disk != nil {
			if err := s.disk.Sync(); err != nil {
				return err
			}
		}
		return f()
	})
}

// write makes a write that reports to the disk itself.
func (s *Store) write(f func() error) error {
	if s.disk != nil {
		s.disk.Wait()
	}
	return f()
}

// watched returns the log and the stable store, whose writes wait for the disk.
func (s *Store) watched() (raft.LogStore, raft.StableStore) {
	write := s.writeBolt
	if s.wal != nil {
		write = s.write
	}
	return watchedLog{s.logs(), write, s.cut}, watchedStable{s.bolt, s.writeBolt}
}
