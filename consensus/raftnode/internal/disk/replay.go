package disk

import (
	"errors"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Replay brings a state machine to the applied mark: it restores the newest
// snapshot, then applies the commands that are known to be committed. A result of
// Apply that is an error ends it.
func (s *Store) Replay(f raft.FSM) error {
	meta, err := s.newestSnapshot()
	if err != nil {
		return err
	}
	var from uint64
	if meta != nil {
		from = meta.Index
		if err := s.loadSnapshot(meta, f); err != nil {
			return err
		}
	}
	s.replayed = from
	if err := s.verifyLog(from); err != nil {
		return err
	}
	if err := s.dropReplaced(from); err != nil {
		return explain(s.logPath(), err)
	}
	mark, err := s.appliedMark()
	if err != nil {
		return err
	}
	for index := from + 1; index <= mark; index++ {
		var entry raft.Log
		if err := s.logs().GetLog(index, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) { // the mark can be older than a restored snapshot
				break
			}
			return corrupt(s.logPath(), err)
		}
		s.replayed = index
		if entry.Type != raft.LogCommand {
			continue
		}
		if err, ok := f.Apply(&entry).(error); ok {
			return err
		}
	}
	if err := s.dropOther(); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// dropReplaced deletes the entries of a log that ends before the snapshot does, which
// accepts no gap. Raft deletes them after it has stored the snapshot of a leader or of a
// restore; the process may have ended between the two, or the log may be one of raft.db.
func (s *Store) dropReplaced(snapshotIndex uint64) error {
	if s.wal == nil {
		return nil
	}
	first, err := s.wal.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.wal.LastIndex()
	if err != nil || last == 0 || last >= snapshotIndex {
		return err
	}
	return s.wal.DeleteRange(first, last)
}

func (s *Store) loadSnapshot(meta *raft.SnapshotMeta, f raft.FSM) error {
	path := filepath.Join(s.dir, snapshotsDir, meta.ID)
	_, source, err := s.snaps.Open(meta.ID)
	if err != nil {
		return corrupt(path, err)
	}
	if err := f.Restore(source); err != nil {
		return corrupt(path, err)
	}
	return nil
}
