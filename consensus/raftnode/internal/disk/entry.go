package disk

import (
	"errors"

	"github.com/hashicorp/raft"
)

// Entry returns one entry of the log; false: the log does not have it.
func (s *Store) Entry(index uint64) (entry raft.Log, found bool, err error) {
	err = protect(func() error { return s.logs().GetLog(index, &entry) })
	if errors.Is(err, raft.ErrLogNotFound) {
		return raft.Log{}, false, nil
	}
	if err != nil {
		return raft.Log{}, false, explain(s.logPath(), err)
	}
	return entry, true, nil
}

// SnapshotInLog returns the index of the newest snapshot if the log has the entry with
// which it ends, and so, as far as they are not cut, those before it; 0: it has not. The
// log of a member that got the snapshot from another one can have others instead.
func (s *Store) SnapshotInLog() (uint64, error) {
	meta, err := s.newestSnapshot()
	if err != nil || meta == nil {
		return 0, err
	}
	entry, found, err := s.Entry(meta.Index)
	if err != nil || !found || entry.Term != meta.Term {
		return 0, err
	}
	return meta.Index, nil
}

// Snapshotted returns the members and the index at the end of the newest snapshot; none and 0
// without one.
func (s *Store) Snapshotted() (raft.Configuration, uint64, error) {
	meta, err := s.newestSnapshot()
	if err != nil || meta == nil {
		return raft.Configuration{}, 0, err
	}
	return meta.Configuration, meta.Index, nil
}
