package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// copyBatch is how many entries are copied in one write.
const copyBatch = 256

// step is one step of a conversion. After a crash between two steps, or within one,
// the conversion begins again from what counted before.
type step struct {
	name string
	do   func() error
}

// convert copies the log to its new place. The old one stays until the next start has
// read the new one (dropOther).
func (s *Store) convert(steps []step) error {
	snapshot, err := s.newestSnapshot()
	if err != nil {
		return err
	}
	var from uint64
	if snapshot != nil {
		from = snapshot.Index
	}
	if err := s.verifyLog(from); err != nil {
		return err // a damaged log stays where it is
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, explain(s.dir, err))
		}
	}
	s.converted = true
	return nil
}

// toWAL returns the steps from raft.db to segments.
func (s *Store) toWAL() []step {
	unfinished, finished := filepath.Join(s.dir, copyDir), filepath.Join(s.dir, walDir)
	return []step{
		{"remove what an earlier conversion left", func() error {
			return errors.Join(os.RemoveAll(unfinished), os.RemoveAll(finished))
		}},
		{"copy the log", func() (err error) {
			wal, err := logstore.Create(unfinished, s.disk)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, wal.Close()) }()
			first, last, err := withoutGap(s.bolt)
			if err != nil {
				return err
			}
			return copyLog(wal, s.bolt, first, last)
		}},
		{"name the copy", func() error {
			if err := os.Rename(unfinished, finished); err != nil {
				return err
			}
			return logstore.SyncDirectory(s.dir)
		}},
		{"open the copy", func() (err error) {
			s.wal, err = logstore.Open(finished, s.disk)
			return err
		}},
		{"keep earlier builds from the old log", func() error {
			return s.bolt.StoreLog(&raft.Log{Index: fence, Data: []byte("the log is in " + walDir)})
		}},
		{"use the copy", func() error { return s.setKind(WAL) }},
	}
}

// toBolt returns the steps from segments to raft.db.
func (s *Store) toBolt() []step {
	return []step{
		{"remove the old entries of " + boltFile, s.clearBolt},
		{"copy the log", func() error {
			first, last, err := withoutGap(s.wal)
			if err != nil {
				return err
			}
			return copyLog(s.bolt, s.wal, first, last)
		}},
		{"use the copy", func() error { return s.setKind(Bolt) }},
		{"let earlier builds use it", s.removeFence},
		{"close the old log", func() error {
			wal := s.wal
			s.wal = nil
			return wal.Close()
		}},
	}
}

// clearBolt removes all entries of raft.db but the fence.
func (s *Store) clearBolt() error {
	for {
		first, err := s.bolt.FirstIndex()
		if err != nil || first == 0 || first == fence {
			return err
		}
		if err := s.bolt.DeleteRange(first, fence-1); err != nil {
			return err
		}
	}
}

// dropOther removes the log that a conversion copied, now that the copy was read.
func (s *Store) dropOther() error {
	if s.converted {
		return nil // the next start reads the copy
	}
	if s.wal == nil {
		return os.RemoveAll(filepath.Join(s.dir, walDir))
	}
	return s.clearBolt()
}

// withoutGap returns the bounds of the last entries without a gap between them; zero:
// there are none. A log of raft.db has a gap below the index of a snapshot that was
// restored.
func withoutGap(log raft.LogStore) (first, last uint64, err error) {
	last, err = log.LastIndex()
	if err != nil || last == 0 {
		return 0, 0, err
	}
	lowest, err := log.FirstIndex()
	if err != nil {
		return 0, 0, err
	}
	for first = last; first > lowest; first-- {
		err := log.GetLog(first-1, &raft.Log{})
		if errors.Is(err, raft.ErrLogNotFound) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return first, last, nil
}

// copyLog copies entries.
func copyLog(to, from raft.LogStore, first, last uint64) error {
	for at := first; at <= last && at > 0; {
		var batch []*raft.Log
		for ; at <= last && len(batch) < copyBatch; at++ {
			entry := new(raft.Log)
			if err := from.GetLog(at, entry); err != nil {
				return fmt.Errorf("read entry %d: %w", at, err)
			}
			batch = append(batch, entry)
		}
		if err := to.StoreLogs(batch); err != nil {
			return err
		}
	}
	return nil
}
